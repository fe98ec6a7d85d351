"""What a check found, as data; `kaizen_nexus.testing.table` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["APP", "ASPECTS", "Channel", "Difference", "Note", "Report", "UsedInputs"]

ASPECTS = ("result", "schema", "session", "error", "metric")
APP = "(app)"
"""Stands for the app as a whole where something concerns no single workflow."""
SAME, DIFFERS, NOT_COMPARED = "same", "differs", "not compared"


@dataclass(frozen=True)
class Channel:
    """A way to call the app, and whether it could be used."""

    name: str
    available: bool
    detail: str


@dataclass(frozen=True)
class Difference:
    """Something that came out differently."""

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
    """Collects what is compared, what differs and what was left out."""

    target: str
    channels: list[Channel] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    inputs: list[UsedInputs] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    _compared: dict[str, set[str]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def workflows(self) -> list[str]:
        """The workflows that were looked at, in order."""
        return [name for name in self._compared if name != APP]

    def begin(self, workflow: str) -> None:
        """Give `workflow` a row of its own, whether or not anything can be compared."""
        self._compared.setdefault(workflow, set())

    def compared(self, workflow: str, aspect: str) -> None:
        """Say that `aspect` of `workflow` was compared."""
        self._compared.setdefault(workflow, set()).add(aspect)

    def differ(self, workflow: str, aspect: str, case: str, found: Mapping[str, str]) -> None:
        """Add a difference."""
        self.compared(workflow, aspect)
        self.differences.append(Difference(workflow, aspect, case, dict(found)))

    def note(self, workflow: str, aspect: str, text: str) -> None:
        """Add a note, unless it is there already."""
        note = Note(workflow, aspect, text)
        if note not in self.notes:
            self.notes.append(note)

    def status(self, workflow: str, aspect: str) -> str:
        """Return `SAME`, `DIFFERS` or `NOT_COMPARED`."""
        if any((each.workflow, each.aspect) == (workflow, aspect) for each in self.differences):
            return DIFFERS
        return SAME if aspect in self._compared.get(workflow, ()) else NOT_COMPARED

    def as_data(self) -> dict[str, Any]:
        """Return the whole as JSON values."""
        rows = [*self.workflows, *([APP] if APP in self._compared else [])]
        return {
            "target": self.target,
            "same": self.agrees,
            "channels": [vars(channel) for channel in self.channels],
            "workflows": {
                name: {aspect: self.status(name, aspect) for aspect in ASPECTS} for name in rows
            },
            "differences": [_as_data(difference) for difference in self.differences],
            "notes": [vars(note) for note in self.notes],
            "inputs": [vars(used) for used in self.inputs],
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
        }


def _as_data(difference: Difference) -> dict[str, Any]:
    found = [
        {"channels": names.split(", "), "found": text} for names, text in difference.found.items()
    ]
    return {**vars(difference), "found": found}
