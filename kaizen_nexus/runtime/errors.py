"""Why an invocation can fail; every channel reports these errors in its own format."""

from __future__ import annotations

from kaizen_nexus._errors import NexusError

__all__ = [
    "AbandonedError",
    "AgentExitError",
    "AgentFailedError",
    "DeadlineExceededError",
    "IdempotencyKeyError",
    "IdempotencyKeyReusedError",
    "OverloadedError",
    "QuarantinedError",
    "ResultTooLargeError",
    "RunFailedError",
    "SessionNotFoundError",
    "ShuttingDownError",
    "VersionNotKeptError",
    "WorkflowNotFoundError",
]


class WorkflowNotFoundError(NexusError, LookupError):
    """No workflow of that name is deployed on the channel, or on any if none is given."""

    def __init__(self, name: str, channel: str | None = None) -> None:
        self.name = name
        self.channel = channel
        where = f" on the {channel} channel" if channel else ""
        super().__init__(f"no workflow named {name[:128]!r} is deployed{where}")


class VersionNotKeptError(NexusError, LookupError):
    """A workflow cannot be taken back to a version that is not kept."""

    def __init__(self, name: str, version: int | None, kept: list[int]) -> None:
        self.name = name
        self.version = version
        what = f"no former version of {name!r} is kept"
        if kept:
            versions = ", ".join(map(str, kept))
            what = f"version {version} of {name!r} is not kept (kept: {versions})"
        super().__init__(
            f"{what}: deploy the workflow that you want again, and pass a higher keep to keep more "
            "former versions"
        )


class SessionNotFoundError(NexusError, LookupError):
    """No session has that id: it was never created, has expired, or was deleted."""

    def __init__(self) -> None:
        # The id is a secret to whoever does not hold it, so it is not repeated.
        super().__init__("there is no such session: it expired, was deleted or never existed")


class RunFailedError(NexusError):
    """A run that has begun, or may have begun, ended without a result."""

    replayed = False
    """Whether this is how an earlier run with the same idempotency key ended."""


class AgentFailedError(RunFailedError):
    """The agent raised, or returned something that cannot be sent; the cause is attached."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the agent behind {name!r} failed; its server's log says why")


class ResultTooLargeError(RunFailedError):
    """A streaming agent yielded more than is collected."""

    def __init__(self, chunks: int, size: int) -> None:
        super().__init__(
            f"the agent yielded more than {chunks} chunks or {size} bytes, which is the limit"
        )


class OverloadedError(NexusError):
    """As much is running and waiting as the runtime allows."""

    retry_after = 1
    """Seconds after which trying again is worthwhile."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}, which is the limit; try again")


class ShuttingDownError(NexusError):
    """The app is being stopped."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again")


class QuarantinedError(NexusError):
    """The agent has failed so often that it is not called for a while."""

    def __init__(self, name: str, retry_after: int) -> None:
        self.name = name
        self.retry_after = retry_after
        """Seconds after which trying again is worthwhile."""
        super().__init__(
            f"the agent behind {name!r} has failed too often and is not called for a while; "
            f"try again in {retry_after} s"
        )


class DeadlineExceededError(RunFailedError, TimeoutError):
    """The agent took longer than it may."""

    def __init__(self, timeout: float) -> None:
        super().__init__(f"no result within {timeout:g} s, which is the time that a run may take")


class AbandonedError(NexusError):
    """The client has gone, so the run was given up."""

    def __init__(self) -> None:
        super().__init__("the run was given up, because its client has gone")


class IdempotencyKeyError(NexusError, ValueError):
    """An idempotency key is malformed, or given with inputs that cannot be compared."""


class IdempotencyKeyReusedError(NexusError):
    """The caller has used the idempotency key for something else."""

    def __init__(self) -> None:
        super().__init__(
            "this idempotency key was used for another workflow, session or other inputs: "
            "every new request needs a key of its own"
        )


class AgentExitError(Exception):
    """The agent tried to end the process, as ``sys.exit()`` does, or cancelled itself."""
