"""Conditional requests (RFC 9110, section 13) on a session, whose state's version is its ETag."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers

__all__ = [
    "TAGS_PATTERN",
    "MalformedConditionError",
    "agreed_versions",
    "entity_tag",
    "is_known",
]

TAGS_PATTERN = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
"""The headers' form, as a pattern of JSON Schema."""
_ANY = "*"
_ELEMENT = re.compile(r'[ \t]*(?P<tag>(?:W/)?"[!#-~\x80-\xff]*")?[ \t]*(?:,|\Z)')


class MalformedConditionError(ValueError):
    """A header does not hold entity tags."""

    def __init__(self, header: str) -> None:
        super().__init__(
            f'{header} must be entity tags in quotes, as the ETag of a session, such as "3", or *'
        )


def entity_tag(version: int) -> str:
    """Return the entity tag of a state's version."""
    return f'"{version}"'


def agreed_versions(headers: Headers) -> Collection[str] | None:
    """Return the entity tags of the versions that may be changed, or None for any version.

    The comparison is strong: a weak tag matches no version.

    Raises
    ------
    MalformedConditionError
        ``If-Match`` does not hold entity tags.
    """
    tags = _tags(headers, "If-Match")
    return None if tags is None or _ANY in tags else tags


def is_known(version: int, headers: Headers) -> bool:
    """Return whether the client has this version already, by weak comparison.

    Raises
    ------
    MalformedConditionError
        ``If-None-Match`` does not hold entity tags.
    """
    tags = _tags(headers, "If-None-Match")
    if tags is None:
        return False
    return _ANY in tags or entity_tag(version) in {tag.removeprefix("W/") for tag in tags}


def _tags(headers: Headers, name: str) -> frozenset[str] | None:
    """Return the entity tags in a header, or None if there is no such header."""
    values = headers.getlist(name)
    if not values:
        return None
    text = ",".join(values)
    if text.strip(" \t") == _ANY:
        return frozenset((_ANY,))
    tags = set()
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            raise MalformedConditionError(name)
        tags.add(element["tag"])
        position = element.end()
    tags.discard(None)
    if not tags:
        raise MalformedConditionError(name)
    return frozenset(tags)
