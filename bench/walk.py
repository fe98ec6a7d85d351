"""The walk of one request: every call of ours, from the bytes that arrive to those of the answer.

A real request goes over a real connection to a server in this process, and a profile hook on the
server's thread notes the calls. Compiled functions are invisible to such a hook, so the server runs
on the pure-Python twin of the core: a call into the twin stands for one compiled call, whatever the
twin then calls inside. A coroutine counts when it begins, not each time it goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bench.core import child
from bench.report import Row, Section
from bench.serve import generator
from bench.serve.requests import Template

__all__ = ["LIMITS", "measure", "walks"]

LIMITS = {"/execute with a session": 30, "MCP tools/call": 35}
"""How many calls of ours each request may take."""
PACKAGE = "kaizen_nexus"
CORE = (f"{PACKAGE}._fallback", f"{PACKAGE}._common")
INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")
"""Frames that are no calls from Python 3.12 on."""
REPEATED = 7
UNUSUAL = 2
"""How many of the first requests do not count: they find nothing prepared."""


def measure(say: Callable[[str], None]) -> Section:
    """List the calls of each request and compare their number with its limit."""
    say("walking")
    found: dict[str, list[str]] = child.run(__name__, "walks", KAIZEN_NEXUS_IMPL="py")
    rows = [
        Row(name, f"{len(found[name])} calls of ours", f"at most {most}", len(found[name]) <= most)
        for name, most in LIMITS.items()
    ]
    listing = [line for name, walk in found.items() for line in (f"{name}:", *_numbered(walk), "")]
    return Section("The walk of one request", rows, {"walks": found}, listing[:-1])


def walks() -> dict[str, list[str]]:
    """Serve an app and return what each request calls; runs in a process of its own."""
    from bench.serve.cases import execute
    from bench.serve.requests import create_sessions
    from bench.serve.servers.nexus_agents import app
    from bench.serve.tools import TEMPLATE

    app.api_port = 0
    recorder = Recorder()
    # The server runs in a thread that inherits this.
    threading.setprofile(recorder)
    app.start(blocking=False)
    threading.setprofile(None)
    try:
        (session_id,) = create_sessions(app.api_port, 1, {})
        in_session = replace(execute("answer_0"), headers={"X-Session-ID": session_id})
        templates = dict(zip(LIMITS, (in_session, TEMPLATE), strict=True))
        return {name: recorder.walk(app.api_port, sent) for name, sent in templates.items()}
    finally:
        app.stop()


class Recorder:
    """A profile function that lists the calls of ours while it is asked to."""

    def __init__(self) -> None:
        self._calls: list[str] | None = None
        self._begun: set[FrameType] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call; the interpreter calls this."""
        calls = self._calls
        if calls is None or event != "call" or not _is_ours(frame) or frame in self._begun:
            return
        # The reference keeps the frame, so that no other is taken for it.
        self._begun.add(frame)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        calls.append("  " * self._depth(frame) + _described(frame))

    def walk(self, port: int, template: Template) -> list[str]:
        """Send a request several times and return the calls that it usually takes."""
        plan = template.plan(port)
        requests = generator.Requests(plan)
        connection = generator.Connection((plan["host"], port))
        try:
            taken = [tuple(self._calls_of(connection, *requests.next())) for _ in range(REPEATED)]
        finally:
            connection.socket.close()
        return list(Counter(taken[UNUSUAL:]).most_common(1)[0][0])

    def _calls_of(
        self, connection: generator.Connection, request: bytes, expected: bytes
    ) -> list[str]:
        calls = self._calls = []
        connection.send(request, expected, 0.0)
        while not connection.receive():
            pass
        if self._loop is None:
            raise RuntimeError("no call of ours was seen on the server's thread")
        # What follows the answer is a part of the request: the loop has done it by then.
        asyncio.run_coroutine_threadsafe(_turns(), self._loop).result(timeout=10)
        self._calls = None
        self._begun.clear()
        return calls

    def _depth(self, frame: FrameType) -> int:
        """Return how many of the calls noted so far have led to this one."""
        depth = 0
        above = frame.f_back
        while above is not None:
            depth += above in self._begun
            above = above.f_back
        return depth


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _module(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame is a call of ours, and no step within the core."""
    module = _module(frame)
    if not f"{module}.".startswith(f"{PACKAGE}.") or frame.f_code.co_name in INLINED:
        return False
    return not (module.startswith(CORE) and _module(frame.f_back).startswith(CORE))


def _described(frame: FrameType) -> str:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)  # from Python 3.11 on
    path = Path(code.co_filename)
    if PACKAGE in path.parts:
        at = len(path.parts) - path.parts[::-1].index(PACKAGE)
        return f"{'/'.join(path.parts[at:])}:{name}"
    # What a decorator has generated, such as the constructor of a dataclass.
    owner = frame.f_locals.get("self")
    return f"{_module(frame)}:{type(owner).__name__}.{name}"


def _numbered(walk: list[str]) -> list[str]:
    return [f"{number:4} {call}" for number, call in enumerate(walk, 1)]
