"""Letting an agent prepare itself before it is deployed."""

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
    """Call the agent's ``warm_up()`` or ``warmup()``, if its class has one, and wait for it.

    A coroutine runs on an event loop and thread of its own, which then end: nothing that the agent
    keeps may belong to that loop.

    Raises
    ------
    BaseException
        Whatever the method raises; the agent must not be deployed then.
    """
    # Looked up on the class: mocks have every attribute that is asked for.
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
