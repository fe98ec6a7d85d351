"""Letting an agent get ready before it answers."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any

__all__ = ["warm_up"]

_METHODS = ("warm_up", "warmup")


def warm_up(agent: object) -> None:
    """Call the agent's ``warm_up()`` or ``warmup()``, if its class has one, and wait for its end.

    A coroutine runs on an event loop of its own, in a thread of its own, whichever thread deploys:
    what it leaves behind must not belong to that loop.

    Raises
    ------
    BaseException
        Whatever it raises; the agent is not ready then, and must not be deployed.
    """
    # From the class, so that an object which has whatever it is asked for is not taken for ready.
    method = next((m for m in _METHODS if callable(getattr(type(agent), m, None))), None)
    if method is None:
        return
    outcome = getattr(agent, method)()
    if inspect.isawaitable(outcome):
        _finish(outcome)


def _finish(outcome: Awaitable[Any]) -> None:
    done: Future[None] = Future()

    async def awaited() -> None:
        await outcome

    def run() -> None:
        try:
            asyncio.run(awaited())
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="nexus-warm-up", daemon=True).start()
    done.result()
