"""Where a request comes from, when proxies stand between the client and the app."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TrustedProxies", "address_group"]

FORWARDED_FOR = b"x-forwarded-for"
LOCAL = "local"
MAX_PROXIES = 20

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """ASGI middleware that lets trusted proxies say which client they speak for.

    They append the address that they were reached from to ``X-Forwarded-For``. What counts is the
    right-most entry that is no trusted proxy: all to its left may be the client's invention. Of
    anybody else the header is ignored, as are ``Forwarded`` and ``X-Forwarded-Proto`` always.

    Parameters
    ----------
    app
        What answers the requests.
    networks
        The proxies' addresses or networks, such as ``"10.0.0.0/8"``; ``"unix"`` for those that
        use a Unix socket.

    Raises
    ------
    ValueError
        A value is no address and no network.
    """

    def __init__(self, app: ASGIApp, networks: Iterable[str]) -> None:
        self._app = app
        self._unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for network in networks:
            if network == "unix":
                self._unix = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(network))
            except ValueError as error:
                raise ValueError(
                    f"trusted_proxies: {network!r} is no network such as '10.0.0.0/8': {error}"
                ) from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "http":
            client = self._client(scope)
            if client is not None:
                scope = {**scope, "client": (str(client), 0)}
        await self._app(scope, receive, send)

    def _client(self, scope: Scope) -> _Address | None:
        """Return whom the request's sender speaks for, if it may speak for anybody."""
        sender = scope.get("client")
        if sender is None:
            if not self._unix:
                return None
        elif not self._trusts(_address(sender[0])):
            return None
        values = [value for name, value in scope["headers"] if name == FORWARDED_FOR]
        entries = b",".join(values).decode("latin-1").rsplit(",", MAX_PROXIES)
        client = None
        for entry in reversed(entries[-MAX_PROXIES:]):
            address = _address(entry.strip())
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> _Address | None:
    """Return the address in `text`, which may have a port, or None."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def address_group(scope: Scope) -> str:
    """Return what a request's client is known by: its address, or its IPv6 network of 64 bits."""
    client = scope.get("client")
    address = None if client is None else _address(client[0])
    if address is None:
        return LOCAL
    if address.version == 4:  # noqa: PLR2004
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
