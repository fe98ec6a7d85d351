"""Reading one bounded HTTP/1.1 response from a socket, with a deadline for all of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["MAX_BODY", "MAX_HEAD", "Receiver", "Reply", "UnreachableError"]

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_FIRST_FINAL_STATUS = 200
_NOT_HTTP = "what answers there does not speak HTTP"
_TOO_LONG = f"the answer is longer than {MAX_BODY} bytes"


class UnreachableError(Exception):
    """No usable HTTP answer came; the message says why."""


class Reply:
    """An HTTP response.

    Parameters
    ----------
    status
        The status code.
    headers
        By lower-case name; of repeated ones the last.
    body
        Without transfer coding.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Receiver:
    """Reads one response before a deadline.

    Parameters
    ----------
    connection
        What to read from.
    deadline
        When to give up, by `clock`.
    clock
        Monotonic seconds.
    lines
        By media type, what takes the lines of a body.
    """

    def __init__(
        self,
        connection: socket.socket,
        deadline: float,
        clock: Callable[[], float],
        lines: dict[str, Callable[[bytes], bool]],
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._clock = clock
        self._lines = lines
        self._received = bytearray()
        self._body = bytearray()
        self._on_line: Callable[[bytes], bool] | None = None

    def reply(self) -> Reply:
        """Return the final response; interim ones (1xx) are skipped."""
        while True:
            status, headers = self._head()
            if status >= _FIRST_FINAL_STATUS:
                media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                self._on_line = self._lines.get(media_type)
                self._fill(headers)
                return Reply(status, headers, bytes(self._body))

    def _head(self) -> tuple[int, dict[str, str]]:
        received = self._received
        while (end := received.find(b"\r\n\r\n")) < 0:
            if not b"HTTP/1".startswith(received[:6]) or len(received) > MAX_HEAD:
                raise UnreachableError(_NOT_HTTP)
            if not self._receive():
                raise UnreachableError("the connection was closed without an answer")
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        del received[: end + 4]
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise UnreachableError(_NOT_HTTP)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(rest[:3]), headers

    def _add(self, data: bytes) -> None:
        """Add bytes to the body, and take complete lines from it as long as they are wanted."""
        self._body += data
        while self._on_line is not None and (end := self._body.find(b"\n")) >= 0:
            if self._on_line(bytes(self._body[:end])):
                del self._body[: end + 1]
            else:
                self._on_line = None

    def _fill(self, headers: dict[str, str]) -> None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._fill_by_chunks()
            return
        length = headers.get("content-length")
        if length is None:
            while self._receive():
                pass
            self._add(bytes(self._received))
            return
        if not length.isdecimal() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            raise UnreachableError(_TOO_LONG)
        self._add(self._take(int(length)))

    def _fill_by_chunks(self) -> None:
        while True:
            while (end := self._received.find(b"\r\n")) < 0:
                self._require()
            digits = self._take(end + 2).partition(b";")[0].strip()
            if not digits or digits.strip(b"0123456789abcdefABCDEF"):
                raise UnreachableError(_NOT_HTTP)
            size = int(digits, 16)
            if size == 0:
                return
            if len(self._body) + size > MAX_BODY:
                raise UnreachableError(_TOO_LONG)
            self._add(self._take(size + 2)[:size])

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._require()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _require(self) -> None:
        if not self._receive():
            raise UnreachableError("the connection was closed in the middle of the answer")

    def _receive(self) -> int:
        if len(self._received) > MAX_HEAD + MAX_BODY:
            raise UnreachableError(_TOO_LONG)
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        data = self._connection.recv(_CHUNK)
        self._received += data
        return len(data)
