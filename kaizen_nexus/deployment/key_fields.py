"""The fields that a cache key covers, to be kept, shown and compared without secrets.

Each field has a path, a digest and a short text. The digests are keyed with random bytes of this
process, so that nobody can find even a short secret by trying values. They tell only whether two
fields of this process are equal.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from kaizen_nexus._accel import cache_key
from kaizen_nexus.agents.signature import CallSignature, Field, read_fields
from kaizen_nexus.agents.structure import describe_type, type_name
from kaizen_nexus.deployment.settings import MEMBER, RECORD, SCALARS, TUPLE, settings

__all__ = [
    "TYPE",
    "FieldDifference",
    "KeyField",
    "call_parts",
    "class_parts",
    "differences",
    "key_fields",
    "type_parts",
]

TYPE = "type"
"""The first item of a tuple that stands for a type or function; its name and digest follow."""

MAX_FIELDS = 256
MAX_SHOWN = 60
"""The most characters kept of a value."""
MAX_PATH = 120

ABSENT = "(absent)"

_CONTAINERS = frozenset({dict, list, tuple})
_SALT = os.urandom(32)
_SECRET_NAME = re.compile(
    r"api_?key|access_?key|private_?key|secret|passw|passphrase|credential|authoriz|cookie|bearer"
    r"|dsn|connection_string|token$|token_|(^|_)(args|auth|env|headers|key)$",
)
_LONG_WORD = re.compile(r"\S{10,}")
_SECRET_WORD = re.compile(
    # The prefixes of providers' keys, a JSON web token, a PEM block, a URL with a password or key,
    # and 24 letters and digits in a row, which no word of any language has.
    r"\b(?:[spr]k[-_]|gh[opsu]_|xox[a-z]-|akia|aiza|eyj)[a-z0-9_-]{6}|-----begin"
    r"|://[^/@]*:[^/@]*@|[?&](?:key|token|sig|password|secret)="
    r"|(?=[a-z+/]*[0-9])(?=[0-9+/]*[a-z])[a-z0-9+/]{24}"
)


class KeyField(NamedTuple):
    """One field that a cache key covers."""

    path: str
    """For example ``config.temperature`` or ``signature.inputs.question.type``."""
    digest: str
    """16 hexadecimal digits, comparable within this process only."""
    shown: str
    """The value, shortened; the digest in place of a secret."""


class FieldDifference(NamedTuple):
    """One field that two keys differ in."""

    field: str
    a: str
    b: str

    def __str__(self) -> str:
        return f"{self.field}: {self.a} -> {self.b}"


def key_fields(parts: dict[str, Any]) -> tuple[KeyField, ...]:
    """Return the fields of `parts` by path; those beyond the first 256 as one.

    Parameters
    ----------
    parts
        Values as `settings` returns them, and tuples that begin with `TYPE`.
    """
    leaves: list[tuple[str, Any, bool]] = []
    _collect("", parts, leaves, secret=False)
    fields = [_field(*leaf) for leaf in leaves[:MAX_FIELDS]]
    if len(leaves) > MAX_FIELDS:
        fields.append(_field("(further fields)", [value for _, value, _ in leaves], True))
    return tuple(sorted(fields))


def differences(a: Sequence[KeyField], b: Sequence[KeyField]) -> list[FieldDifference]:
    """Return the fields that differ between two keys, by path."""
    left, right = ({field.path: field for field in fields} for fields in (a, b))
    found = []
    for path in sorted({*left, *right}):
        one, other = left.get(path), right.get(path)
        if one is None or other is None:
            found.append(FieldDifference(path, _shown(one), _shown(other)))
        elif one.digest != other.digest:
            told_apart = one.shown != other.shown
            found.append(
                FieldDifference(path, *(_shown(f, digest=not told_apart) for f in (one, other)))
            )
    return found


def call_parts(call: CallSignature) -> dict[str, Any]:
    """Describe the signature of a callable."""
    return {
        "function": call.qualified_name,
        "description": call.description,
        "inputs": {field.name: _input_parts(field) for field in call.fields},
        "order": [field.name for field in call.fields],
        "output": type_parts(call.output),
        "accepts_extra": call.accepts_extra,
        "is_async": call.is_async,
        "is_streaming": call.is_streaming,
        "wants_context": call.wants_context,
        "wants_session": call.wants_session,
    }


def class_parts(declared: type) -> dict[str, Any]:
    """Describe a class that declares inputs."""
    return {
        "class": type_parts(declared),
        "inputs": {field.name: _input_parts(field) for field in read_fields(declared)},
    }


def _input_parts(field: Field) -> dict[str, Any]:
    parts: dict[str, Any] = {"type": type_parts(field.annotation), "required": field.required}
    return parts if field.required else {**parts, "default": settings(field.default)}


def type_parts(annotation: Any) -> tuple[str, str, str]:
    """Describe a type by the mark `TYPE`, a readable name and a digest.

    Raises
    ------
    TypeError
        The annotation has no description that is the same in every process.
    """
    return (TYPE, type_name(annotation), cache_key(describe_type(annotation)))


def _collect(path: str, value: Any, leaves: list[tuple[str, Any, bool]], *, secret: bool) -> None:
    """Append the path, value and secrecy of every leaf of `value`."""
    kind = type(value)
    if kind in SCALARS or (kind in _CONTAINERS and not value):
        leaves.append((path, value, secret))
    elif kind is dict:
        for name, item in value.items():
            hidden = secret or (isinstance(name, str) and _is_secret_name(name))
            _collect(_step(path, name), item, leaves, secret=hidden)
    elif kind is tuple and value[0] == RECORD:
        leaves.append((f"{path}.(class)", f"{value[1]}.{value[2]}", False))
        _collect(path, value[3], leaves, secret=secret)
    elif kind is list or (kind is tuple and value[0] == TUPLE):
        for index, item in enumerate(value if kind is list else value[1:]):
            _collect(f"{path}[{index}]", item, leaves, secret=secret)
    else:
        leaves.append((path, value, secret))


def _step(path: str, name: Any) -> str:
    if isinstance(name, str) and name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{_text(name)[:MAX_SHOWN]}]"


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    # apiKey and api-key are api_key.
    spelt = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return _SECRET_NAME.search(spelt) is not None


def _field(path: str, value: Any, secret: bool) -> KeyField:
    text = _text(value)
    encoded = text
    if type(value) not in SCALARS:
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            encoded = cache_key(value)
    digest = blake2b(encoded.encode(), key=_SALT, digest_size=8).hexdigest()
    if value is not None and (secret or _looks_secret(value, text)):
        text = f"(secret {digest})"
    elif len(text) > MAX_SHOWN:
        text = f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
    return KeyField(path[:MAX_PATH], digest, text)


def _looks_secret(value: Any, text: str) -> bool:
    if isinstance(value, (int, float)):
        return False
    # A secret that begins in the shown part may end behind it.
    words = _LONG_WORD.findall(text[: 2 * MAX_SHOWN])
    return any(_SECRET_WORD.search(word.lower()) for word in words)


def _text(value: Any) -> str:
    """Return a plain value as source code, any other by its type alone."""
    kind = value[0] if type(value) is tuple and value else None
    if kind == TYPE:
        return str(value[1])
    if kind == MEMBER:
        return f"{value[2]}.{value[3]}"
    if type(value) in SCALARS or (isinstance(value, (list, dict)) and not value):
        return repr(value)
    if isinstance(value, (set, frozenset)) and all(type(item) in SCALARS for item in value):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    return f"a {type(value).__qualname__}"


def _shown(field: KeyField | None, *, digest: bool = False) -> str:
    if field is None:
        return ABSENT
    return f"{field.shown} [{field.digest[:8]}]" if digest else field.shown
