"""The fast lane: which requests are ordinary, and what answers them without ASGI.

Nearly every request arrives whole, in one read of the socket, and holds nothing unusual. `Lane`
recognises those by a grammar far stricter than HTTP's, and finds the handler of their route.
Anything else, however slightly different, is left to the general way, untouched: the lane never
decides where a doubtful message ends, and never refuses one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import msgspec

from kaizen_nexus.access.callers import ANONYMOUS, Caller

if TYPE_CHECKING:
    from starlette.responses import Response

    from kaizen_nexus.http.rate_limit import Taken
    from kaizen_nexus.http.server.limits import HttpLimits

__all__ = ["Lane", "LaneHandler", "LaneRequest", "LaneRoute", "LaneRun", "Respond", "respond_with"]

_T = TypeVar("_T")

MAX_HEAD = 8 * 1024
"""Bytes of a head in the lane; longer ones are legal, and go the general way."""

MAX_KNOWN = 512
"""How many lines of heads are remembered, since clients send the same ones again and again."""

_REQUEST_LINE = re.compile(rb"(GET|POST) (/[A-Za-z0-9/._~-]*) HTTP/1\.1")
_HEADER = re.compile(rb"([A-Za-z0-9-]+): ([!-~](?:[ -~]*[!-~])?)")

_PLAIN = b"-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What the ids of sessions and the names of workflows consist of."""

_REPEATED = frozenset(
    b"accept accept-encoding accept-language connection content-length content-type host"
    b" mcp-method mcp-protocol-version user-agent".split()
)
"""Headers whose lines are worth remembering: few values, and nothing secret."""

_KNOWN = _REPEATED.union(
    b"authorization cache-control mcp-name mcp-session-id pragma priority traceparent tracestate"
    b" x-api-key x-session-id".split()
)
_UNSUITABLE = re.compile(rb"x-(?:forwarded|http-method|original|rewrite|real-ip)")
"""Headers that begin with ``x-`` and can change what a request means to somebody."""


class LaneRequest(msgspec.Struct, frozen=True):
    """One ordinary request, whole."""

    method: str
    path: str
    """It has no query, and nothing percent-encoded."""
    headers: dict[bytes, bytes]
    """By their names in lower case; each name comes once."""
    body: bytes
    """Empty if there is none."""
    caller: Caller = ANONYMOUS
    """Who sends it."""
    name: str = ""
    """What stands in the path between the prefix and the suffix of the route."""


Respond = Callable[[int, Sequence[tuple[bytes, bytes]], bytes], None]
"""Takes the status, the headers but ``Content-Length``, and the body of an answer."""


class LaneRun(Protocol):
    """What runs for a request: the runtime's ``Run``."""

    def give_up(self) -> object:
        """End it without an answer."""

    def client_gone(self) -> object:
        """End it because nobody waits for the answer any more, or let it go on."""


class LaneHandler(Protocol):
    """What answers the ordinary requests of a route."""

    def begin(self, request: LaneRequest, respond: Respond) -> LaneRun | None:
        """Begin to answer.

        Returns
        -------
        LaneRun or None
            What runs; it calls `respond` once, perhaps before this returns, unless it is given up.
            None without a call of `respond`: nothing has been done, and the request is to go the
            general way.
        """


class LaneRoute(NamedTuple):
    """Which requests a handler answers: those whose path begins and ends like this."""

    method: str
    prefix: str
    suffix: str
    handler: LaneHandler


class Lane:
    """Recognises the ordinary requests of one app; for one event loop.

    Parameters
    ----------
    routes
        The first one that fits a request has it.
    hosts
        Values of ``Host`` that were accepted before. It is looked at for every request, so it may
        grow.
    identify
        Returns who sends a request with these headers, or None if the general way has to find out;
        without it, nobody is asked.
    take
        Counts a request of a caller at an address under the rate limit, if there is one.
    """

    def __init__(
        self,
        routes: Sequence[LaneRoute],
        hosts: Collection[bytes],
        identify: Callable[[Mapping[bytes, bytes]], Caller | None] | None = None,
        take: Callable[[Caller, tuple[str, int] | None], Taken] | None = None,
    ) -> None:
        self.take = take
        self._routes = tuple(routes)
        self._hosts = hosts
        self._identify = identify
        self._requests: dict[bytes, tuple[str, str, str, LaneHandler]] = {}
        self._headers: dict[bytes, tuple[bytes, bytes]] = {}
        self._names: dict[bytes, bytes] = {}
        """Spellings of names whose values differ from request to request."""

    def recognise(self, data: bytes, limits: HttpLimits) -> tuple[LaneRequest, LaneHandler] | None:
        """Return the request that `data` is, with its handler; None if it is anything else.

        Parameters
        ----------
        data
            All that arrived since the last request, in one read.
        limits
            What the general way accepts.
        """
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0 or end > limits.head_size:
            return None
        first, *lines = data[:end].split(b"\r\n")
        found = self._requests.get(first) or self._route(first, limits)
        if found is None or len(lines) > limits.header_count:
            return None
        headers = {}
        known = self._headers
        for line in lines:
            header = known.get(line) or self._header(line)
            if header is None:
                return None
            headers[header[0]] = header[1]
        if (
            len(headers) != len(lines)  # one came twice
            or headers.get(b"host") not in self._hosts
            or headers.get(b"content-length", b"0") != b"%d" % (len(data) - end - 4)
        ):
            return None
        caller = ANONYMOUS if self._identify is None else self._identify(headers)
        if caller is None:
            return None
        method, path, name, handler = found
        return LaneRequest(method, path, headers, data[end + 4 :], caller, name), handler

    def _route(self, line: bytes, limits: HttpLimits) -> tuple[str, str, str, LaneHandler] | None:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None or len(line) > limits.request_line:
            return None
        method, path = match[1].decode("ascii"), match[2].decode("ascii")
        for route in self._routes:
            if (
                route.method == method
                and path.startswith(route.prefix)
                and path.endswith(route.suffix)
                and len(path) >= len(route.prefix) + len(route.suffix)
            ):
                name = path[len(route.prefix) : len(path) - len(route.suffix)]
                found = (method, path, name, route.handler)
                if method == "POST":  # of other requests, each has a path of its own
                    _remember(self._requests, line, found)
                return found
        return None

    def _header(self, line: bytes) -> tuple[bytes, bytes] | None:
        """Return the name in lower case, and the value, of a header that the lane may see."""
        name, _, value = line.partition(b": ")
        known = self._names.get(name)
        if known is not None and value and not value.translate(None, _PLAIN):
            return known, value
        if _HEADER.fullmatch(line) is None:
            return None
        lower = name.lower()
        if lower not in _KNOWN and (not lower.startswith(b"x-") or _UNSUITABLE.match(lower)):
            return None
        if lower == b"connection" and value.lower() != b"keep-alive":
            return None
        if lower in _REPEATED:
            _remember(self._headers, line, (lower, value))
        elif lower in _KNOWN:
            _remember(self._names, name, lower)
        return lower, value


def _remember(memory: dict[bytes, _T], line: bytes, meaning: _T) -> None:
    if len(memory) >= MAX_KNOWN:
        memory.clear()  # whoever fills it with lines of their own costs others one look at theirs
    memory[line] = meaning


def respond_with(respond: Respond, response: Response) -> None:
    """Answer with a Starlette response."""
    headers = [field for field in response.raw_headers if field[0] != b"content-length"]
    respond(response.status_code, headers, bytes(response.body))
