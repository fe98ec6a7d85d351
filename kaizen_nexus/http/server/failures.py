"""Answers for requests whose app failed, or was cancelled, before it had begun to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from kaizen_nexus.http.problems import problem_of
from kaizen_nexus.runtime.errors import ShuttingDownError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AnswerFailures"]


class AnswerFailures:
    """Outermost ASGI middleware: answers 500 if the app raises, and 503 if it is cancelled.

    The server cancels what has not ended by the end of the grace period. The error is raised again,
    so that the server logs it and closes the connection.

    Parameters
    ----------
    app
        What answers requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        def note(message: Message) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._app(scope, receive, note)
        except BaseException as error:
            if not started:
                cancelled = isinstance(error, asyncio.CancelledError)
                problem, _ = problem_of(ShuttingDownError() if cancelled else Exception())
                problem.headers["Connection"] = "close"
                await problem(scope, receive, send)
            raise
