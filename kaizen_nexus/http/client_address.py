"""Where a request comes from, when proxies stand between the client and the app.

uvicorn has middleware for this, too. It takes an entry that is not an address for a client, knows
a proxy by one spelling of its address only, and believes ``X-Forwarded-Proto``; this does not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    Client = tuple[str, int]

__all__ = ["FORWARDED_FOR", "TrustedProxies", "address_group"]

FORWARDED_FOR = b"x-forwarded-for"
LOCAL = "local"
MAX_PROXIES = 20
REMEMBERED = 4_096
"""How many addresses are remembered as they were parsed."""
MAX_ADDRESS = 64
"""Characters of the longest text that is parsed as an address."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """ASGI middleware that lets trusted proxies name the client that they forward.

    Proxies append the address that they were reached from to ``X-Forwarded-For``. The client is the
    right-most entry that is not a trusted proxy; anything to its left may be invented. The header
    is ignored from other senders, and ``Forwarded`` and ``X-Forwarded-Proto`` always are.

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
        A value is neither an address nor a network.
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
                    f"trusted_proxies: {network!r} is not a network such as '10.0.0.0/8': {error}"
                ) from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "http":
            forwarded = [value for name, value in scope["headers"] if name == FORWARDED_FOR]
            if forwarded:
                scope = {**scope, "client": self.client_of(scope.get("client"), forwarded)}
        await self._app(scope, receive, send)

    def client_of(self, sender: Client | None, forwarded: Sequence[bytes]) -> Client | None:
        """Return the client of a request.

        Parameters
        ----------
        sender
            Where the connection comes from; None for a Unix socket.
        forwarded
            The values of ``X-Forwarded-For``.
        """
        trusted = self._unix if sender is None else self._trusts(_address(sender[0]))
        if not trusted:
            return sender
        entries = b",".join(forwarded).decode("latin-1").rsplit(",", MAX_PROXIES)
        client = None
        for entry in reversed(entries[-MAX_PROXIES:]):
            address = _address(_without_port(entry.strip()))
            if address is None:
                break
            client = address
            if not self._trusts(address):
                break
        return sender if client is None else (str(client), 0)

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> _Address | None:
    """Return the address in `text`, or None; an IPv4 address in an IPv6 one counts as itself."""
    return _parsed(text) if len(text) <= MAX_ADDRESS else None


@lru_cache(REMEMBERED)
def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def address_group(client: Client | None) -> str:
    """Return what a client is known by: its address, or its IPv6 network of 64 bits."""
    return LOCAL if client is None else _group(client[0][:MAX_ADDRESS])


@lru_cache(REMEMBERED)
def _group(host: str) -> str:
    address = _address(host)
    if address is None:
        return LOCAL
    if address.version == 4:  # noqa: PLR2004
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
