"""Checks the ``Host`` and ``Origin`` of every request, before anything else.

A web page can make a browser send requests to a server on the same machine or network: either
openly, which ``Origin`` shows, or under a DNS name of its own that resolves to that server, which
only ``Host`` shows (DNS rebinding). Other clients can send any headers that they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kaizen_nexus.http.problems import problem_response

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["AddressCheck", "several"]

ANY = "*"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SHOWN_LENGTH = 128
MAX_FAMILIAR = 64
"""How many accepted values of ``Host`` are remembered: clients may send any port."""
_SCHEMES = frozenset({"http", "https"})
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[0-9a-z._~-]+)(?::(?P<port>\d{1,5}))?")


class AddressCheck:
    """ASGI middleware that answers 421 to a foreign ``Host``, and 403 to a foreign ``Origin``.

    Accepted hosts are the local ones, those given, and the IP address at which the server was
    reached. Accepted origins are those of accepted local hosts,
    those given, and the request's own host.

    Parameters
    ----------
    app
        What answers the requests that are accepted.
    allowed_hosts
        Further hosts, such as ``"agents.example.com"``, at any port unless one is named; ``"*"``
        accepts every host, for servers behind a gateway that checks it.
    allowed_origins
        Further origins, such as ``"https://example.com"``, likewise.

    Raises
    ------
    ValueError
        A value is not a host, or not an origin.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Sequence[str] = (), allowed_origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._hosts = set(LOCAL_HOSTS)
        self._origins: set[str] = set()
        self.familiar: set[bytes] = set()
        """Values of ``Host`` that were accepted before."""
        self.allow(allowed_hosts, allowed_origins)

    def allow(self, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        """Accept further hosts and origins.

        Raises
        ------
        ValueError
            A value is not a host, or not an origin.
        """
        self._hosts.update([_checked_host(host) for host in hosts])
        self._origins.update([_checked_origin(origin) for origin in origins])
        self._any_host = ANY in self._hosts
        self._any_origin = ANY in self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        refusal = None
        if scope["type"] == "http" and not self._is_familiar(scope):
            refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _is_familiar(self, scope: Scope) -> bool:
        """Whether the request is like nearly all: a host that was accepted before, no origin."""
        hosts = 0
        for name, value in scope["headers"]:
            if name == b"host":
                if value not in self.familiar:
                    return False
                hosts += 1
            elif name == b"origin":
                return False
        return hosts == 1

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return problem_response(
                400, slug="host-header", detail=f"a request has one Host header, not {len(hosts)}"
            )
        host = hosts[0].decode("latin-1").lower()
        if not self._accepts_host(host, scope):
            return problem_response(
                421,
                slug="misdirected-request",
                detail=f"this server does not answer for {host[:SHOWN_LENGTH]!r}: address it by "
                "one of its own names, or give it that one with allowed_hosts",
            )
        for name, value in scope["headers"]:
            if name == b"origin" and not self._accepts_origin(value.decode("latin-1"), host):
                return problem_response(
                    403,
                    slug="foreign-origin",
                    detail="pages of this origin may not use this server: allowed_origins says "
                    "which may",
                )
        return None

    def _accepts_host(self, host: str, scope: Scope) -> bool:
        authority = _AUTHORITY.fullmatch(host)
        if authority is None:
            return False
        if self._any_host or host in self._hosts or authority["host"] in self._hosts:
            if len(self.familiar) < MAX_FAMILIAR:
                self.familiar.add(host.encode("latin-1"))
            return True
        server = scope.get("server")
        return server is not None and authority["host"].strip("[]") == server[0]

    def _accepts_origin(self, origin: str, host: str) -> bool:
        if self._any_origin or origin in self._origins:
            return True
        scheme, _, authority = origin.partition("://")
        parsed = _AUTHORITY.fullmatch(authority)
        if parsed is None or scheme not in _SCHEMES:
            return False
        return (
            authority == host
            or f"{scheme}://{parsed['host']}" in self._origins
            or parsed["host"] in LOCAL_HOSTS
        )


def several(option: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return the values of an option that takes several strings.

    Raises
    ------
    TypeError
        One string is given instead.
    """
    if isinstance(values, str):
        raise TypeError(f"{option} must be several strings, for example ({values!r},)")
    return tuple(values)


def _checked_host(host: str) -> str:
    if host != ANY and not _AUTHORITY.fullmatch(host.lower()):
        raise ValueError(
            f"allowed_hosts: {host!r} is not a host such as 'agents.example.com' or "
            "'agents.example.com:8443'"
        )
    return host.lower()


def _checked_origin(origin: str) -> str:
    scheme, _, authority = origin.lower().partition("://")
    if origin != ANY and (scheme not in _SCHEMES or not _AUTHORITY.fullmatch(authority)):
        raise ValueError(
            f"allowed_origins: {origin!r} is not an origin such as 'https://agents.example.com'"
        )
    return origin.lower()
