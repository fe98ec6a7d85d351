"""Why a stream ends that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.access.errors import (
    AuthenticationUnavailableError,
    ForbiddenError,
    UnauthenticatedError,
)
from kaizen_nexus.access.policy import Access
from kaizen_nexus.http.credentials import recheck, sent_by
from kaizen_nexus.http.streams import OpenStream
from kaizen_nexus.runtime.errors import AbandonedError, AgentFailedError, ShuttingDownError

ADA = Caller("ada", frozenset({"echo"}), authenticated=True)


async def nothing() -> Any:
    await asyncio.Event().wait()


def checking(*answers: Caller | Exception) -> Callable[[], Awaitable[None]] | None:
    """Return a check of a caller of ``echo`` who is asked again, and answers so."""
    left = list(answers)

    async def ask(_: object) -> Caller:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return recheck(sent_by(ADA, {"type": "http"}, ask), Access(enforced=True), "echo")


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (UnauthenticatedError("revoked", "invalid_token"), UnauthenticatedError),
        (Caller("ada", frozenset({"other"}), authenticated=True), ForbiddenError),
    ],
)
def test_a_reader_who_may_no_longer_read_is_told_why(
    last: Caller | Exception, reason: type[Exception]
) -> None:
    async def main() -> None:
        stream = OpenStream()
        check = checking(ADA, AuthenticationUnavailableError(), ADA, last)
        await stream.given_up(nothing, check, interval=0)
        assert isinstance(stream.reason(AbandonedError()), reason)
        assert isinstance(stream.reason(AgentFailedError("echo")), AgentFailedError)
        stream.end()
        await asyncio.sleep(0)
        assert isinstance(stream.reason(AbandonedError()), ShuttingDownError)

    asyncio.run(main())


def test_nobody_is_checked_where_nobody_was_asked() -> None:
    assert recheck(sent_by(ADA, {"type": "http"}), Access(), "echo") is None
    assert recheck({"type": "http"}, Access(), "echo") is None
