"""Checks of the heads of HTTP/1 requests, beyond those of the parser."""

from __future__ import annotations

from collections.abc import Sequence

import httptools

__all__ = ["RefusedError", "check_head"]


class RefusedError(Exception):
    """A request is refused before the app sees it, and its connection is closed.

    Parameters
    ----------
    status
        The HTTP status code that it is answered with.
    detail
        What is wrong with it.
    """

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


def check_head(
    version: str,
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    upgrades: bool,
) -> None:
    """Refuse a head that another server could understand differently.

    Parameters
    ----------
    version
        The version of HTTP, such as ``"1.1"``.
    method, target
        The first line's other parts.
    headers
        Names in lower case, and values.
    upgrades
        Whether it asks for another protocol.

    Raises
    ------
    RefusedError
        The version is not 1.0 or 1.1; there is not exactly one Host; it is unclear where the body
        ends, or the body is compressed; the target is malformed, or names another host.
    """
    if version not in {"1.1", "1.0"}:
        raise RefusedError(400, f"HTTP/{version} is not supported")
    names = [name for name, _ in headers]
    if names.count(b"host") != 1:
        raise RefusedError(400, f"a request has one Host header, not {names.count(b'host')}")
    codings = _values(headers, b"transfer-encoding") if b"transfer-encoding" in names else []
    sized = b"content-length" in names
    if codings and (codings != [b"chunked"] or sized or version != "1.1"):
        raise RefusedError(400, "a body must end by its Content-Length or by its chunks")
    if method == b"CONNECT" or (upgrades and (codings or sized)):
        raise RefusedError(400, "this server is not a proxy, and speaks HTTP/1 only")
    if b"content-encoding" in names and {*_values(headers, b"content-encoding")} != {b"identity"}:
        raise RefusedError(415, "a body must be sent without a Content-Encoding")
    if not target.startswith(b"/") or b"#" in target:
        _check_unusual_target(target, _values(headers, b"host")[0])


def _values(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value.lower() for name, value in headers if name == wanted]


def _check_unusual_target(target: bytes, host: bytes) -> None:
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise RefusedError(400, "the target of the request is malformed") from None
    authority = target.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    foreign = url.schema is not None and authority.lower() != host.strip()
    if foreign or url.path is None or url.fragment is not None:
        raise RefusedError(400, "the target of the request is not of the host in its Host header")
