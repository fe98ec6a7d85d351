"""Reading the file that ``--inputs`` names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaizen_nexus.http.strict_json import StrictJsonError, loads

__all__ = ["GivenInputs", "InputsError", "read_inputs"]

MAX_FILE = 64 * 1024 * 1024
MAX_CASES = 10_000
_MEMBERS = frozenset({"workflow", "inputs"})
_FORMS = (
    'expected {"workflow": NAME, "inputs": {...}}, one a line or in an array, '
    "or {NAME: [{...}, ...], ...}"
)


class InputsError(ValueError):
    """The file cannot be used; the message says where and why."""


@dataclass(frozen=True)
class GivenInputs:
    """One call that the file asks for."""

    workflow: str
    inputs: dict[str, Any]
    place: str
    """Where in the file it is."""


def read_inputs(path: Path) -> list[GivenInputs]:
    """Return the calls that the file at `path` asks for, in its order.

    Raises
    ------
    InputsError
        The file cannot be read, is neither JSON nor JSON lines, or is of another form.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputsError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise InputsError(f"{path} is longer than {MAX_FILE} bytes")
    try:
        given = _parse(data.removeprefix(b"\xef\xbb\xbf"))
    except (InputsError, StrictJsonError) as error:
        raise InputsError(f"{path}: {error}") from None
    if not given:
        raise InputsError(f"{path} holds no inputs: {_FORMS}")
    if len(given) > MAX_CASES:
        raise InputsError(f"{path} holds {len(given)} inputs; {MAX_CASES} is the limit")
    return given


def _parse(data: bytes) -> list[GivenInputs]:
    lines = [
        (number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()
    ]
    try:
        whole = loads(data) if lines else []
    except StrictJsonError:
        if len(lines) < 2 or not _is_json(lines[0][1]):  # noqa: PLR2004  # JSON lines have several
            raise
        return [_from_line(number, line) for number, line in lines]
    if isinstance(whole, list):
        return [_record(value, f"element {index}") for index, value in enumerate(whole, start=1)]
    if not isinstance(whole, dict):
        raise InputsError(_FORMS)
    if set(whole) == _MEMBERS and isinstance(whole["workflow"], str):
        return [_record(whole, "line 1")]
    return [given for name, values in whole.items() for given in _list_of(name, values)]


def _is_json(line: bytes) -> bool:
    try:
        loads(line)
    except StrictJsonError:
        return False
    return True


def _from_line(number: int, line: bytes) -> GivenInputs:
    place = f"line {number}"
    try:
        value = loads(line)
    except StrictJsonError as error:
        raise InputsError(f"{place}: {error}") from None
    return _record(value, place)


def _record(value: Any, place: str) -> GivenInputs:
    if not isinstance(value, dict) or set(value) != _MEMBERS:
        raise InputsError(f"{place}: {_FORMS}")
    name, inputs = value["workflow"], value["inputs"]
    if not isinstance(name, str) or not name:
        raise InputsError(f"{place}: 'workflow' must be a workflow's name")
    if not isinstance(inputs, dict):
        raise InputsError(f"{place}: 'inputs' must be an object with the inputs as its members")
    return GivenInputs(name, inputs, place)


def _list_of(name: str, values: Any) -> list[GivenInputs]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InputsError(f"{name!r} must be an array of objects, each with inputs as its members")
    return [
        GivenInputs(name, value, f"{name}, element {index}")
        for index, value in enumerate(values, start=1)
    ]
