"""The HTTP headers of a 2026-07-28 request, which repeat parts of its body for intermediaries."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from kaizen_nexus.channels.mcp.messages import (
    CAPABILITIES_KEY,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    MODERN,
    UNSUPPORTED_VERSION,
    VERSION_KEY,
    Json,
    Message,
    ProtocolError,
)

__all__ = [
    "METHOD",
    "NAME",
    "VERSION",
    "Mirror",
    "check_envelope",
    "check_mirrors",
    "check_once",
    "mirrors_of",
    "unsupported",
]

VERSION = b"mcp-protocol-version"
METHOD = b"mcp-method"
NAME = b"mcp-name"

_SPACE = " \t"
"""What may stand around the value of a header, and does not belong to it."""
_ANNOTATION = "x-mcp-header"
_TYPES = frozenset({"string", "integer", "boolean"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")
_DECIMAL = re.compile(r"(-?[0-9]+)(?:\.0+)?")


class Mirror(NamedTuple):
    """An argument of a tool that a header repeats."""

    path: tuple[str, ...]
    header: str
    type: str


def unsupported(requested: str) -> ProtocolError:
    """Return the error that names the versions that need no handshake."""
    data = {"supported": list(MODERN.versions), "requested": requested}
    return ProtocolError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def check_envelope(message: Message, headers: Mapping[bytes, bytes] | None = None) -> None:
    """Check what says how to understand a request: its ``_meta``, and the headers if there are any.

    Raises
    ------
    ProtocolError
        Something is missing, or the headers say something else than the body, or the version is
        not supported.
    """
    meta = message.meta
    if not isinstance(meta, dict):
        raise ProtocolError(INVALID_PARAMS, "params._meta must be an object")
    for key in (VERSION_KEY, CAPABILITIES_KEY):
        if key not in meta:
            raise ProtocolError(INVALID_PARAMS, f"params._meta lacks {key}")
    version = meta[VERSION_KEY]
    if headers is not None:
        repeated = {VERSION: version, METHOD: message.method}
        name = message.params.get("name") if message.params else None
        if message.method == "tools/call" and name is not None:
            repeated[NAME] = name
        for header, expected in repeated.items():
            sent = headers.get(header)
            shown = None if sent is None else sent.decode("latin-1").strip(_SPACE)
            if shown != expected and (
                header != NAME or shown is None or _decoded(shown) != expected
            ):
                said = f"{header.decode()} differs from the request's body"
                raise ProtocolError(HEADER_MISMATCH, said)
    if not isinstance(version, str):
        raise ProtocolError(INVALID_PARAMS, f"{VERSION_KEY} must be a string")
    if version not in MODERN.versions:
        raise unsupported(version)


def check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request in which a header comes twice that repeats a part of the body.

    Raises
    ------
    ProtocolError
        Two readers could read it in two ways.
    """
    names = [name for name, _ in headers]
    for name in (VERSION, METHOD, NAME):
        if names.count(name) > 1:
            raise ProtocolError(HEADER_MISMATCH, f"{name.decode()} comes more than once")


def mirrors_of(schema: Json) -> tuple[Mirror, ...]:
    """Return the arguments of a tool that headers repeat, as its input schema says.

    A schema that breaks the rules for the annotation has none: clients ignore such a tool.
    """
    annotations = msgspec.json.encode(schema).count(f'"{_ANNOTATION}":'.encode())
    if not annotations:
        return ()
    found: dict[str, Mirror] = {}
    pending: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while pending:
        path, node = pending.pop()
        properties = node.get("properties") if isinstance(node, dict) else None
        if isinstance(properties, dict):
            pending += [((*path, name), inner) for name, inner in properties.items()]
        token = node.get(_ANNOTATION) if path and isinstance(node, dict) else None
        if isinstance(token, str) and _TOKEN.fullmatch(token) and node.get("type") in _TYPES:
            found[token.lower()] = Mirror(path, f"mcp-param-{token.lower()}", node["type"])
    return tuple(found.values()) if len(found) == annotations else ()


def check_mirrors(
    mirrors: Iterable[Mirror], arguments: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Refuse a call whose headers do not repeat its arguments as the tool's schema says.

    Raises
    ------
    ProtocolError
        A header is missing, comes twice, or differs from the argument.
    """
    sent: dict[str, list[str]] = {}
    for name, value in headers:
        if name.startswith(b"mcp-param-"):
            text = value.decode("latin-1").strip(_SPACE)
            sent.setdefault(name.decode("latin-1"), []).append(text)
    for mirror in mirrors:
        shown = _shown(_at(arguments, mirror.path))
        values = sent.get(mirror.header, [])
        if not values and shown is None:
            continue
        decoded = _decoded(values[0]) if len(values) == 1 else None
        if shown is None or decoded is None or not _agree(mirror.type, shown, decoded):
            argument = "/".join(mirror.path)
            message = f"{mirror.header} does not repeat the argument {argument}"
            raise ProtocolError(HEADER_MISMATCH, message)


def _at(arguments: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = arguments
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _shown(value: Any) -> str | None:
    """Return an argument as a header shows it; None if it cannot."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value) if isinstance(value, (str, int, float)) else None
    except ValueError:  # an integer of too many digits
        return None


def _agree(kind: str, shown: str, sent: str) -> bool:
    if shown == sent:
        return True
    ours, theirs = _DECIMAL.fullmatch(shown), _DECIMAL.fullmatch(sent)
    if kind != "integer" or ours is None or theirs is None:
        return False
    try:
        return int(ours[1]) == int(theirs[1])
    except ValueError:  # too many digits
        return False


def _decoded(value: str) -> str | None:
    """Return the text that a header stands for; None if it is encoded, and wrongly."""
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        decoded = base64.b64decode(match[1], validate=True)
        is_canonical = base64.b64encode(decoded).decode() == match[1]
        return decoded.decode() if is_canonical else None
    except (binascii.Error, UnicodeError, ValueError):
        return None
