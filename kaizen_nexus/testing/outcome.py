"""What came of one call, in terms that are the same for every channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MISSING", "Outcome", "Problem", "first_difference", "groups_of", "identical", "shown"]

SHOWN_LENGTH = 160
UNEXPECTED = "unexpected"
NO_ANSWER = "no-answer"


class _Missing:
    """Stands for a member that one of two values does not have."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Problem:
    """Why a call gave no result."""

    slug: str
    """As in HTTP's problem types, or `UNEXPECTED`, or `NO_ANSWER`."""
    detail: str = ""
    inputs: frozenset[str] = frozenset()
    """The inputs that are at fault."""

    def is_same_as(self, other: Problem) -> bool:
        """Whether both say the same; of several wrong inputs a channel may name the first alone."""
        if self.slug == UNEXPECTED:
            return self == other
        named_alike = self.inputs == other.inputs or bool(self.inputs & other.inputs)
        return self.slug == other.slug and named_alike

    def __str__(self) -> str:
        """Return the slug, the inputs and the detail."""
        named = f" ({', '.join(sorted(self.inputs))})" if self.inputs else ""
        return f"{self.slug}{named}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Outcome:
    """A result, or a problem."""

    result: Any = None
    session_id: str | None = None
    problem: Problem | None = None

    @classmethod
    def failed(cls, slug: str, detail: str = "", inputs: frozenset[str] = frozenset()) -> Outcome:
        """Return the outcome of a call that gave no result."""
        return cls(problem=Problem(slug, detail, inputs))

    def agrees_with(self, other: Outcome) -> bool:
        """Whether both have the same result, or the same problem."""
        if self.problem is None or other.problem is None:
            return self.problem is other.problem and identical(self.result, other.result)
        return self.problem.is_same_as(other.problem)

    def __str__(self) -> str:
        """Return what a report shows of it."""
        return shown(self.result) if self.problem is None else clipped(str(self.problem))


def identical(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 is neither 1.0 nor true."""
    return first_difference(one, other) is None


def first_difference(one: Any, other: Any, pointer: str = "") -> tuple[str, Any, Any] | None:
    """Return where two JSON values differ first, and what each has there; None if nowhere.

    The order of an object's members does not count.
    """
    if type(one) is not type(other):
        return pointer, one, other
    if isinstance(one, dict):
        keys: list[Any] = [*one, *(key for key in other if key not in one)]
        pairs = [(key, one.get(key, MISSING), other.get(key, MISSING)) for key in keys]
    elif isinstance(one, list):
        length = max(len(one), len(other))
        pairs = [(i, _at(one, i), _at(other, i)) for i in range(length)]
    else:
        return None if one == other else (pointer, one, other)
    for key, left, right in pairs:
        step = str(key).replace("~", "~0").replace("/", "~1")
        found = first_difference(left, right, f"{pointer}/{step}")
        if found is not None:
            return found
    return None


def groups_of(outcomes: Mapping[str, Outcome]) -> dict[str, str] | None:
    """Return what each group of channels has come to, or None if all have come to the same.

    Parameters
    ----------
    outcomes
        By channel.
    """
    groups = _grouped(outcomes)
    if len(groups) == 1:
        return None
    (_, first), (_, second), *_ = groups
    place = None
    if all(outcome.problem is None for _, outcome in groups):
        place = first_difference(first.result, second.result)
    if place is None or not place[0]:
        return {", ".join(names): str(outcome) for names, outcome in groups}
    pointer = place[0]
    return {
        ", ".join(names): f"at {pointer}: {shown(_resolve(outcome.result, pointer))}"
        for names, outcome in groups
    }


def shown(value: Any) -> str:
    """Return a JSON value as a report shows it: on one line, and not too long."""
    if value is MISSING:
        return "nothing"
    return clipped(json.dumps(value, ensure_ascii=False))


def clipped(text: str) -> str:
    """Return `text` on one line, and not too long for a table."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_LENGTH else f"{line[: SHOWN_LENGTH - 3]}..."


def _grouped(outcomes: Mapping[str, Outcome]) -> list[tuple[list[str], Outcome]]:
    groups: list[tuple[list[str], Outcome]] = []
    for name, outcome in outcomes.items():
        for names, representative in groups:
            if representative.agrees_with(outcome):
                names.append(name)
                break
        else:
            groups.append(([name], outcome))
    return groups


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else MISSING


def _resolve(value: Any, pointer: str) -> Any:
    """Return what `pointer` (RFC 6901) leads to in `value`, if anything."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value
