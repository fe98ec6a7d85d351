"""Which calls are made of a workflow: given ones, derived ones, and those that must fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaizen_nexus.http.strict_json import StrictJsonError, loads
from kaizen_nexus.testing.answers import identical
from kaizen_nexus.testing.http import Deployed
from kaizen_nexus.testing.report import CannotCheckError
from kaizen_nexus.testing.samples import NoSampleError, Sampler

__all__ = ["UNKNOWN", "Case", "cases_of", "given_cases", "read_cases", "refusals_of"]

UNKNOWN = "nexus-check-unknown"
"""A name and a session id that no app has."""
MAX_FILE = 64 * 1024 * 1024
MAX_CASES = 10_000
DERIVED = "derived from the schema"
_UNKNOWN_INPUT = "nexus_check_unknown"
_MEMBERS = frozenset({"workflow", "inputs"})
_FORMS = (
    'expected {"workflow": NAME, "inputs": {...}}, one a line or in an array, '
    "or {NAME: [{...}, ...], ...}"
)


@dataclass(frozen=True)
class Case:
    """Inputs to give on every channel."""

    name: str
    inputs: dict[str, Any]
    origin: str = DERIVED
    session: str | None = None


Cases = dict[str, list[Case]]
"""Cases by workflow."""


def read_cases(path: Path) -> Cases:
    """Return the calls that the file at `path` asks for.

    Raises
    ------
    CannotCheckError
        The file cannot be read, is neither JSON nor JSON lines, or is of another form; the message
        says where and why.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        return _bounded(_parsed(data.removeprefix(b"\xef\xbb\xbf")))
    except OSError as error:
        raise CannotCheckError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CannotCheckError(f"{path}: {error}") from None


def given_cases(inputs: Mapping[str, Iterable[Mapping[str, Any]]]) -> Cases:
    """Return the calls that `inputs` asks for, which has lists of inputs by workflow.

    Raises
    ------
    CannotCheckError
        It holds something else, or nothing.
    """
    try:
        return _bounded(_by_name({name: list(values) for name, values in inputs.items()}))
    except (TypeError, ValueError) as error:
        raise CannotCheckError(f"inputs: {error}") from None


def cases_of(workflow: Deployed) -> list[Case]:
    """Return calls that `workflow` should take, with inputs that its schema allows.

    Raises
    ------
    NoSampleError
        None can be derived.
    """
    sampler = Sampler(workflow.input_schema)
    least, most = sampler.required_only(), sampler.everything()
    cases = [Case("required inputs" if least else "no inputs", least)]
    if not identical(least, most):
        cases.append(Case("all inputs", most))
    return cases


def refusals_of(workflow: Deployed, cases: Sequence[Case]) -> list[Case]:
    """Return calls that `workflow` should refuse.

    Parameters
    ----------
    workflow
        What is called.
    cases
        Calls that it should take, if any are known.
    """
    schema = workflow.input_schema
    sampler = Sampler(schema)
    valid = cases[0].inputs if cases else None
    with contextlib.suppress(NoSampleError):
        valid = sampler.required_only()
    refusals = []
    if valid is not None:
        missing = next((name for name in schema.get("required", ()) if name in valid), None)
        if missing is not None:
            rest = {name: value for name, value in valid.items() if name != missing}
            refusals.append(Case(f"without {missing}", rest))
        refusals.append(Case("unknown session", valid, session=UNKNOWN))
    wrong = sampler.wrong()
    if wrong is not None and (valid is not None or not schema.get("required")):
        name, value = wrong
        refusals.append(Case(f"wrong {name}", {**(valid or {}), name: value}))
    if valid is not None and schema.get("additionalProperties") is False:
        refusals.append(Case("unknown input", {**valid, _UNKNOWN_INPUT: 1}))
    return refusals


def _bounded(given: list[tuple[str, Any, str]]) -> Cases:
    """Return what was given as cases: the workflow, the inputs and where they were, for each."""
    if not given:
        raise ValueError(f"it holds no inputs: {_FORMS}")
    if len(given) > MAX_CASES:
        raise ValueError(f"it holds {len(given)} inputs; {MAX_CASES} is the limit")
    cases: Cases = {}
    for name, inputs, place in given:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{place}: 'workflow' must be a workflow's name")
        if not isinstance(inputs, Mapping):
            raise ValueError(f"{place}: 'inputs' must be an object with the inputs as its members")  # noqa: TRY004 - about a file's content
        of_workflow = cases.setdefault(name, [])
        of_workflow.append(Case(f"inputs {len(of_workflow) + 1}", dict(inputs), place))
    return cases


def _parsed(data: bytes) -> list[tuple[str, Any, str]]:
    if len(data) > MAX_FILE:
        raise ValueError(f"it is longer than {MAX_FILE} bytes")
    lines = [(f"line {n}", line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    try:
        whole = loads(data) if lines else []
    except StrictJsonError:
        if len(lines) == 1 or not _is_json(lines[0][1]):
            raise
        return [_record(_line(text, place), place) for place, text in lines]
    if isinstance(whole, list):
        return [_record(value, f"element {index}") for index, value in enumerate(whole, 1)]
    if not isinstance(whole, dict):
        raise ValueError(_FORMS)  # noqa: TRY004 - about a file's content
    if set(whole) == _MEMBERS and isinstance(whole["workflow"], str):
        return [_record(whole, "line 1")]
    return _by_name(whole)


def _is_json(text: bytes) -> bool:
    try:
        loads(text)
    except StrictJsonError:
        return False
    return True


def _line(text: bytes, place: str) -> Any:
    try:
        return loads(text)
    except StrictJsonError as error:
        raise ValueError(f"{place}: {error}") from None


def _record(value: Any, place: str) -> tuple[str, Any, str]:
    if not isinstance(value, dict) or set(value) != _MEMBERS:
        raise ValueError(f"{place}: {_FORMS}")
    return value["workflow"], value["inputs"], place


def _by_name(whole: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    given = []
    for name, values in whole.items():
        if not isinstance(values, list) or not all(isinstance(each, Mapping) for each in values):
            raise ValueError(
                f"{name!r} must be an array of objects, each with inputs as its members"
            )
        given += [(name, each, f"{name}, element {i}") for i, each in enumerate(values, 1)]
    return given
