"""One bounded HTTP/1.1 request over the standard library's sockets.

``http.client`` takes longer to import than the interpreter takes to start, which ``nexus run``
would pay each time. This module knows what one exchange with one server needs, and refuses the
rest: it follows no redirect, keeps no connection and reads no proxy settings.
"""

from __future__ import annotations

import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "KEPT_OUT",
    "BadUrlError",
    "NoAnswerError",
    "RefusedError",
    "Reply",
    "UnreachableError",
    "authorization",
    "request",
]

KEPT_OUT = frozenset({401, 403, 407, 429})
"""Statuses that say that the server does not let the caller in, or not now."""

CONNECT_TIMEOUT = 5.0
MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_PORT = 65_535
_CHUNK = 256 * 1024
_LEAST = 0.001
"""Seconds; a timeout of 0 would mean not to wait at all."""
_FIRST_FINAL_STATUS = 200
_NOT_HTTP = "what answers there does not speak HTTP"
_TOO_LONG = f"the answer is longer than {MAX_BODY} bytes"
_PORTS = {"http": 80, "https": 443}


class BadUrlError(ValueError):
    """The server's URL cannot be used."""


class UnreachableError(Exception):
    """No usable HTTP answer came; the message says why."""


class NoAnswerError(UnreachableError):
    """There is a server, but its answer did not come in time."""


class RefusedError(Exception):
    """The server does not let the caller in, or not now."""

    def __init__(self, status: int, body: bytes) -> None:
        import json

        try:
            detail = json.loads(body)["detail"]
        except (ValueError, KeyError, TypeError, RecursionError):
            detail = "it does not say why"
        super().__init__(f"refused with HTTP status {status}: {detail}")


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


def request(
    method: str,
    url: str,
    path: str,
    body: bytes = b"",
    *,
    timeout: float,
    lines: dict[str, Callable[[bytes], bool]] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Reply:
    """Return the server's answer, of at most 64 MiB.

    Parameters
    ----------
    method
        The HTTP method.
    url
        The server, ``http://HOST[:PORT][/PREFIX]`` or the same with ``https``.
    path
        What to ask for, below the server's URL.
    body
        JSON text to send; empty for none.
    timeout
        Seconds that the exchange may take in all, not counting the resolution of the host's name;
        connecting to one address may take 5 of them.
    lines
        For media types whose bodies are lines: what is given each line as soon as it has arrived.
        The first one for which it returns False begins what the answer then has as its body.
    clock
        Monotonic seconds.

    Raises
    ------
    BadUrlError
        The URL is not of that form.
    UnreachableError
        There is no connection, no answer in time, or none that is HTTP.

    Notes
    -----
    A key or token in the environment variable NEXUS_API_KEY is presented. There is no option for
    it: everybody on the machine can see the command lines of running programs, and a shell keeps
    them in its history.
    """
    scheme, host, port, prefix = split_url(url)
    deadline = clock() + timeout
    authority = f"[{host}]" if ":" in host else host
    credentials = "".join(f"{name}: {value}\r\n" for name, value in authorization().items())
    head = (
        f"{method} {prefix}{path} HTTP/1.1\r\n"
        f"Host: {authority}:{port}\r\n"
        "Accept: application/json\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{credentials}"
        "Connection: close\r\n\r\n"
    ).encode("ascii")
    try:
        with _connect(scheme, host, port, deadline, clock) as connection:
            _send(connection, head + body, deadline - clock())
            return _Receiver(connection, deadline, clock, lines or {}).reply()
    except TimeoutError:
        raise NoAnswerError(f"no answer within {timeout:g} s") from None
    except OSError as error:
        raise UnreachableError(error.strerror or str(error)) from None


def authorization() -> dict[str, str]:
    """Return the header that says who asks; none if that is not known.

    Raises
    ------
    BadUrlError
        What the environment has for it cannot be sent.
    """
    key = os.environ.get("NEXUS_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise BadUrlError("NEXUS_API_KEY holds what no key or token does")
    return {"Authorization": f"Bearer {key}"} if key else {}


def split_url(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and path prefix of `url`; without a scheme it is ``http``.

    Raises
    ------
    BadUrlError
        The URL has another form, or holds what does not belong there.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "http", url
    authority, _, prefix = rest.partition("/")
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        valid = bool(bracket) and port[:1] in {"", ":"}
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
        valid = True
    scheme = scheme.lower()
    plain = url.isascii() and url.isprintable() and not set(" ?#@\\").intersection(url)
    number = int(port) if port.isdecimal() and len(port) <= len(str(MAX_PORT)) else 0
    valid = valid and (0 < number <= MAX_PORT if port else True)
    if not (valid and plain and host and scheme in _PORTS):
        raise BadUrlError(f"{url!r} is not a URL like http://127.0.0.1:8000")
    prefix = prefix.rstrip("/")
    return scheme, host, number or _PORTS[scheme], f"/{prefix}" if prefix else ""


def _connect(
    scheme: str, host: str, port: int, deadline: float, clock: Callable[[], float]
) -> socket.socket:
    """Return a connection to the first of the host's addresses that takes one."""
    failure: Exception = UnreachableError(f"{host} has no address")
    # As bytes: encoding a name that is ASCII already would import Unicode tables.
    addresses = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in addresses:
        seconds = min(CONNECT_TIMEOUT, max(deadline - clock(), _LEAST))
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(address)
            return connection if scheme == "http" else _encrypted(connection, host)
        except TimeoutError:
            failure = UnreachableError(f"no connection within {seconds:.3g} s")
        except OSError as error:
            failure = error
        connection.close()
    raise failure


def _encrypted(connection: socket.socket, host: str) -> socket.socket:
    import ssl

    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


def _send(connection: socket.socket, data: bytes, seconds: float) -> None:
    connection.settimeout(max(seconds, _LEAST))
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        # A server that refuses a large request answers before it has read all of it.
        return


class _Body:
    """The body of a response, as far as it has arrived and is not taken already.

    Parameters
    ----------
    on_line
        Takes lines, until it returns False; None for a body that is not made of lines.
    """

    __slots__ = ("_on_line", "content")

    def __init__(self, on_line: Callable[[bytes], bool] | None) -> None:
        self.content = bytearray()
        self._on_line = on_line

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        self.content += data
        while self._on_line is not None and (end := self.content.find(b"\n")) >= 0:
            if self._on_line(bytes(self.content[:end])):
                del self.content[: end + 1]
            else:
                self._on_line = None


class _Receiver:
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
        What takes the lines of a body, by media type.
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

    def reply(self) -> Reply:
        """Return the final response; interim ones (1xx) are skipped."""
        while True:
            status, headers = self._head()
            if status >= _FIRST_FINAL_STATUS:
                media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                body = _Body(self._lines.get(media_type))
                self._fill(body, headers)
                return Reply(status, headers, bytes(body.content))

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

    def _fill(self, body: _Body, headers: dict[str, str]) -> None:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._fill_by_chunks(body)
            return
        length = headers.get("content-length")
        if length is None:
            while self._receive():
                pass
            body.add(bytes(self._received))
            return
        if not length.isdecimal() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            raise UnreachableError(_TOO_LONG)
        body.add(self._take(int(length)))

    def _fill_by_chunks(self, body: _Body) -> None:
        while True:
            while (end := self._received.find(b"\r\n")) < 0:
                self._require()
            digits = self._take(end + 2).partition(b";")[0].strip()
            if not digits or digits.strip(b"0123456789abcdefABCDEF"):
                raise UnreachableError(_NOT_HTTP)
            size = int(digits, 16)
            if size == 0:
                return
            if len(body.content) + size > MAX_BODY:
                raise UnreachableError(_TOO_LONG)
            body.add(self._take(size + 2)[:size])

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
