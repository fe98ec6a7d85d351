"""What came of one call, in terms that are the same for every channel, and how two compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaizen_nexus.runtime.errors import AgentFailedError, SessionNotFoundError

__all__ = [
    "MISSING",
    "NO_ANSWER",
    "UNEXPECTED",
    "Answer",
    "clipped",
    "first_difference",
    "groups_of",
    "identical",
    "problem_in",
    "shown",
]

SHOWN_LENGTH = 160
UNEXPECTED = "unexpected"
NO_ANSWER = "no-answer"
_LIMITS = {
    "the agent yielded more than ": "result-too-large",
    ", which is the limit; try again": "overloaded",
    " has failed too often and is not called for a while; ": "quarantined",
    "the session table holds ": "session-limit",
}


class _Missing:
    """Stands for a member that one of two values does not have."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Answer:
    """A result, or why there is none."""

    result: Any = None
    session_id: str | None = None
    problem: str = ""
    """As in HTTP's problem types, or `UNEXPECTED`, or `NO_ANSWER`; empty if there is a result."""
    detail: str = ""
    inputs: frozenset[str] = frozenset()
    """The inputs that are at fault."""

    @classmethod
    def failed(cls, problem: str, detail: str = "", inputs: frozenset[str] = frozenset()) -> Answer:
        """Return the answer to a call that gave no result."""
        return cls(problem=problem, detail=detail, inputs=inputs)

    def agrees_with(self, other: Answer) -> bool:
        """Whether both have the same result, or the same problem."""
        if self.problem != other.problem:
            return False
        if not self.problem:
            return identical(self.result, other.result)
        if self.problem == UNEXPECTED:
            return self == other
        # Of several wrong inputs a channel may name the first alone.
        return self.inputs == other.inputs or bool(self.inputs & other.inputs)

    def __str__(self) -> str:
        """Return what a report shows of it."""
        if not self.problem:
            return shown(self.result)
        named = f" ({', '.join(sorted(self.inputs))})" if self.inputs else ""
        return clipped(f"{self.problem}{named}" + (f": {self.detail}" if self.detail else ""))


def problem_in(message: str, workflow: str) -> str:
    """Return the slug of the problem that a message describes, or "" if it is none of ours.

    The message about an agent or a session must be the exception's own text, word for word: a
    channel that adds something, such as what the agent raised, does not say the same.
    """
    text = message.strip()
    if text == str(AgentFailedError(workflow)):
        return "agent-failed"
    if text == str(SessionNotFoundError()):
        return "session-not-found"
    if text.startswith(f"no workflow named {workflow!r} is deployed"):
        return "workflow-not-found"
    return next((slug for part, slug in _LIMITS.items() if part in text), "")


def identical(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 is neither 1.0 nor true."""
    return first_difference(one, other) is None


def first_difference(one: Any, other: Any, pointer: str = "") -> tuple[str, Any, Any] | None:
    """Return where two JSON values differ first, and what each has there; None if nowhere.

    The order of an object's members does not count.
    """
    if type(one) is not type(other):
        return pointer, one, other
    if isinstance(one, list):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    elif not isinstance(one, dict):
        return None if one == other else (pointer, one, other)
    for key in {**one, **other}:
        step = str(key).replace("~", "~0").replace("/", "~1")
        left, right = one.get(key, MISSING), other.get(key, MISSING)
        if found := first_difference(left, right, f"{pointer}/{step}"):
            return found
    return None


def groups_of(answers: Mapping[str, Answer]) -> dict[str, str] | None:
    """Return the answer of each group of channels that agree, or None if all agree.

    Parameters
    ----------
    answers
        By channel.
    """
    groups: list[tuple[list[str], Answer]] = []
    for name, answer in answers.items():
        agreeing = (names for names, first in groups if first.agrees_with(answer))
        if names := next(agreeing, None):
            names.append(name)
        else:
            groups.append(([name], answer))
    if len(groups) == 1:
        return None
    (_, first), (_, second), *_ = groups
    place = None
    if all(not answer.problem for _, answer in groups):
        place = first_difference(first.result, second.result)
    if place is None or not place[0]:
        return {", ".join(names): str(answer) for names, answer in groups}
    pointer = place[0]
    return {
        ", ".join(names): f"at {pointer}: {shown(_resolve(answer.result, pointer))}"
        for names, answer in groups
    }


def shown(value: Any) -> str:
    """Return a JSON value as a report shows it: on one line, and not too long."""
    return "nothing" if value is MISSING else clipped(json.dumps(value, ensure_ascii=False))


def clipped(text: str) -> str:
    """Return `text` on one line, and not too long for a table."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_LENGTH else f"{line[: SHOWN_LENGTH - 3]}..."


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
