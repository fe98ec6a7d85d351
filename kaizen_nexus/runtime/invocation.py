"""What channels hand to the runtime, and what they get back: plain data, no wire format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from kaizen_nexus.access.callers import ANONYMOUS, Caller
from kaizen_nexus.runtime.deployed import Deployment

__all__ = ["NEW_SESSION", "Invocation", "Result"]

NEW_SESSION = "new"
"""As a session id: create a session for this invocation."""


class Invocation(msgspec.Struct, frozen=True):
    """One request to run a workflow, with what was found when it came in."""

    deployment: Deployment
    """What `Runtime.find` returned: the caller may use it."""
    channel: str
    inputs: Mapping[str, Any] = {}
    session_id: str | None = None
    """An existing session's id, `NEW_SESSION`, or None."""
    caller: Caller = ANONYMOUS
    """Who asks; the owner of a session that is created for this invocation."""
    caller_gone: Callable[[], Awaitable[object]] | None = None
    """Returns when the client has gone, where the channel can tell."""
    chosen: Callable[[int], None] | None = None
    """Told which version of the workflow runs, before anything of it does; not of a replay."""
    attached: Callable[[str], None] | None = None
    """Told the session's id, if there is a session, before the agent is called."""
    emit: Callable[[bytes], Awaitable[None]] | None = None
    """Takes each chunk that a streaming agent yields, as JSON text; while it does not return, the
    agent waits."""
    idempotency_key: str | None = None
    """The same for each attempt at this invocation, and for no other one of the caller."""

    @property
    def name(self) -> str:
        """The name that the workflow is deployed under."""
        return self.deployment.workflow.name


class Result(msgspec.Struct, frozen=True):
    """The answer to an invocation that succeeded."""

    body: bytes
    """The workflow's result as JSON text."""
    session_id: str | None
    duration_ns: int
    """From the arrival in the runtime until the result was encoded."""
    version: int
    """Which deployment of the name answered, counted from 1."""
    replayed: bool = False
    """Whether this is the answer to an earlier invocation with the same idempotency key."""
