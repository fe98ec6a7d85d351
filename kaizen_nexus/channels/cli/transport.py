"""One bounded HTTP/1.1 request over the standard library's sockets.

``http.client`` takes longer to import than the interpreter takes to start, too long for
``nexus run``. This module does what one exchange with one server needs: it follows no redirects,
keeps no connection open and reads no proxy settings.
"""

from __future__ import annotations

import os
import socket
import time

from kaizen_nexus.channels.cli.response import Receiver, Reply, UnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "KEPT_OUT",
    "BadUrlError",
    "NoAnswerError",
    "Reply",
    "UnreachableError",
    "authorization",
    "request",
]

KEPT_OUT = frozenset({401, 403, 407, 429})
"""Statuses with which a server refuses the caller: not authorized, or too many requests."""

CONNECT_TIMEOUT = 5.0
MAX_PORT = 65_535
_LEAST = 0.001
"""Seconds; a timeout of 0 would mean not to wait at all."""
_PORTS = {"http": 80, "https": 443}


class BadUrlError(ValueError):
    """The server's URL cannot be used."""


class NoAnswerError(UnreachableError):
    """The server did not answer in time."""


def request(
    method: str,
    url: str,
    path: str,
    body: bytes = b"",
    *,
    timeout: float,
    headers: Mapping[str, str] | None = None,
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
    headers
        Headers to send besides; an ``Accept`` replaces ``application/json``.
    lines
        By media type, a function that takes each line of the body as soon as it arrives. The first
        line for which it returns False, and what follows, become the body of the answer.
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
    The API key or token in the environment variable NEXUS_API_KEY is sent. There is no option for
    it, since everybody on the machine can see the command lines of running programs, and shells
    keep them in their history.
    """
    scheme, host, port, prefix = split_url(url)
    deadline = clock() + timeout
    authority = f"[{host}]" if ":" in host else host
    sent = {"Accept": "application/json", "Content-Type": "application/json"}
    sent |= authorization() | dict(headers or {})
    sent_lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = (
        f"{method} {prefix}{path} HTTP/1.1\r\n"
        f"Host: {authority}:{port}\r\n"
        f"{sent_lines}"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode("ascii")
    try:
        with _connect(scheme, host, port, deadline, clock) as connection:
            _send(connection, head + body, deadline - clock())
            return Receiver(connection, deadline, clock, lines or {}).reply()
    except TimeoutError:
        raise NoAnswerError(f"no answer within {timeout:g} s") from None
    except OSError as error:
        raise UnreachableError(error.strerror or str(error)) from None


def authorization() -> dict[str, str]:
    """Return the header with the API key or token from the environment; empty if there is none.

    Raises
    ------
    BadUrlError
        NEXUS_API_KEY has characters that cannot be sent.
    """
    key = os.environ.get("NEXUS_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise BadUrlError("NEXUS_API_KEY has characters that no key or token has")
    return {"Authorization": f"Bearer {key}"} if key else {}


def split_url(url: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and path prefix of `url`; without a scheme it is ``http``.

    Raises
    ------
    BadUrlError
        The URL has another form, or characters that it must not have.
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
    # As bytes, since encoding a str would import Unicode tables.
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
