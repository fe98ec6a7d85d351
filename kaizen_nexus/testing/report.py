"""What a check found, as data; `kaizen_nexus.testing.table` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "APP",
    "ASPECTS",
    "CannotCheckError",
    "Channel",
    "Difference",
    "InconsistentError",
    "Note",
    "Report",
    "UsedInputs",
]

ASPECTS = ("result", "schema", "session", "error", "metric")
APP = "(app)"
"""Stands for the app as a whole where something concerns no single workflow."""
SAME, DIFFERS, NOT_COMPARED = "same", "differs", "not compared"


class CannotCheckError(Exception):
    """There is nothing to compare: no app, no server, no workflow, no usable inputs."""


class InconsistentError(AssertionError):
    """The channels of an app differ; the message is the report."""


@dataclass(frozen=True)
class Channel:
    """A way to call the app, and whether it could be used."""

    name: str
    available: bool
    detail: str


@dataclass(frozen=True)
class Difference:
    """A difference between channels."""

    workflow: str
    aspect: str
    case: str
    found: Mapping[str, str]
    """What was found, by channel or by several of them."""


@dataclass(frozen=True)
class Note:
    """Something that could not be compared, or not fully."""

    workflow: str
    aspect: str
    text: str


@dataclass(frozen=True)
class UsedInputs:
    """The inputs of one case."""

    workflow: str
    case: str
    origin: str
    inputs: dict[str, Any]


@dataclass
class Report:
    """What was compared, what differs, and what could not be compared.

    Attributes
    ----------
    target : str
        What was checked.
    channels : list of Channel
        How the app was called.
    differences : list of Difference
        The differences between channels.
    notes : list of Note
        What could not be compared, or not fully.
    inputs : list of UsedInputs
        What the workflows were called with.
    calls : int
        How many calls were made.
    seconds : float
        How long the check took.
    """

    target: str
    channels: list[Channel] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    inputs: list[UsedInputs] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    _compared: dict[str, set[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def workflows(self) -> list[str]:
        """The workflows that were looked at, in order."""
        return [name for name in self._compared if name != APP]

    def raise_for_differences(self) -> None:
        """Do nothing if nothing differs.

        Raises
        ------
        InconsistentError
            Something does; the message is what ``nexus check`` prints.
        """
        if not self.ok:
            from kaizen_nexus.testing.table import format_report

            raise InconsistentError(format_report(self, colour=False))

    def status(self, workflow: str, aspect: str) -> str:
        """Return ``"same"``, ``"differs"`` or ``"not compared"``.

        Parameters
        ----------
        workflow
            A workflow's name, or ``"(app)"``.
        aspect
            ``"result"``, ``"schema"``, ``"session"``, ``"error"`` or ``"metric"``.
        """
        if any((each.workflow, each.aspect) == (workflow, aspect) for each in self.differences):
            return DIFFERS
        return SAME if aspect in self._compared.get(workflow, ()) else NOT_COMPARED

    def as_data(self) -> dict[str, Any]:
        """Return the whole as JSON values."""
        rows = [*self.workflows, *([APP] if APP in self._compared else [])]
        return {
            "target": self.target,
            "same": self.ok,
            "channels": [vars(channel) for channel in self.channels],
            "workflows": {
                name: {aspect: self.status(name, aspect) for aspect in ASPECTS} for name in rows
            },
            "differences": [
                {**vars(each), "found": [_split(item) for item in each.found.items()]}
                for each in self.differences
            ],
            "notes": [vars(note) for note in self.notes],
            "inputs": [vars(used) for used in self.inputs],
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
        }

    def compared(self, workflow: str, *aspects: str) -> None:
        """Record that these aspects of `workflow` were compared; without any, that it was begun."""
        self._compared.setdefault(workflow, set()).update(aspects)

    def differ(self, workflow: str, aspect: str, case: str, found: Mapping[str, str]) -> None:
        """Add a difference."""
        self.compared(workflow, aspect)
        self.differences.append(Difference(workflow, aspect, case, dict(found)))

    def note(self, workflow: str, aspect: str, text: str) -> None:
        """Add a note, unless it is there already."""
        note = Note(workflow, aspect, text)
        if note not in self.notes:
            self.notes.append(note)


def _split(item: tuple[str, str]) -> dict[str, Any]:
    return {"channels": item[0].split(", "), "found": item[1]}
