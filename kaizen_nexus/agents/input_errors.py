"""What validators report, as JSON Pointers to what is wrong, and messages without the path."""

from __future__ import annotations

import re
from typing import Any

from kaizen_nexus.agents.errors import InputError

__all__ = ["input_errors", "model_errors"]

_AT_PATH = re.compile(r" - at `(?P<path>\$[^`]*)`$")
_NAMES_A_FIELD = re.compile(r"(?:required|unknown) field `(?P<field>[^`]*)`")
_PATH_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


def input_errors(error: Exception) -> tuple[InputError, ...]:
    """Turn the validator's message into a pointer, and the message without the path."""
    message, pointer = str(error), ""
    match = _AT_PATH.search(message)
    if match:
        message = message[: match.start()]
        for step in _PATH_STEP.finditer(match["path"]):
            pointer += _step(step["name"] or step["index"])
    if callable(getattr(error.__cause__, "errors", None)):
        return model_errors(error.__cause__, pointer)
    named = _NAMES_A_FIELD.search(message)
    if named:
        pointer += _step(named["field"])
    return (InputError(pointer, message),)


def model_errors(error: Any, pointer: str = "") -> tuple[InputError, ...]:
    """Turn pydantic's report, which names all that is wrong, into pointers and messages."""
    return tuple(
        InputError(pointer + "".join(_step(str(part)) for part in detail["loc"]), detail["msg"])
        for detail in error.errors()
    )


def _step(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
