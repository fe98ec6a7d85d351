"""What can be wrong with an agent, or with what it is given."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_nexus._errors import NexusError

__all__ = ["InputError", "InvalidInputsError", "InvalidOutputError"]


@dataclass(frozen=True)
class InputError:
    """One thing that is wrong with one input."""

    pointer: str
    """RFC 6901 JSON Pointer to the offending value, for example ``/filters/0/name``."""
    message: str


class InvalidInputsError(NexusError, ValueError):
    """The inputs of an invocation do not match the workflow's input schema."""

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.message}" for e in errors))


class InvalidOutputError(NexusError, TypeError):
    """An agent returned something that its declared output, or JSON, has no place for."""
