"""Recognising a problem by its message, where a channel has only words for it."""

from __future__ import annotations

from kaizen_nexus.runtime.errors import AgentFailedError, SessionNotFoundError

__all__ = ["problem_in"]

_LIMITS = {
    "the agent yielded more than ": "result-too-large",
    ", which is the limit; try again": "overloaded",
    " has failed too often and is not called for a while; ": "quarantined",
    "the session table holds ": "session-limit",
}


def problem_in(message: str, workflow: str) -> str:
    """Return the slug of the problem that `message` is about, or nothing if it is none of ours.

    What says what happened to an agent or a session must be the exception's text, word for word:
    a channel that says more, such as what the agent itself raised, is not saying the same.
    """
    text = message.strip()
    if text == str(AgentFailedError(workflow)):
        return "agent-failed"
    if text == str(SessionNotFoundError()):
        return "session-not-found"
    if text.startswith(f"no workflow named {workflow!r} is deployed"):
        return "workflow-not-found"
    return next((slug for part, slug in _LIMITS.items() if part in text), "")
