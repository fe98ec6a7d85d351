"""``POST /api/workflows/{name}/stream``: a run whose chunks are sent as they are made.

The answer is ``text/event-stream``. It is written here, in a few lines: what there is to be had
for it begins the answer at once, where this one waits for the first chunk, so that a request that
is refused, or fails before that, gets the same status as from ``/execute``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from kaizen_nexus.channels.api.execute import SESSION_HEADER, VERSION_HEADER
from kaizen_nexus.http.credentials import recheck
from kaizen_nexus.http.idempotency import REPLAYED_HEADER
from kaizen_nexus.http.problems import problem_of
from kaizen_nexus.http.streams import FAREWELL_TIMEOUT, StreamedAnswer, Streams, emitter
from kaizen_nexus.runtime.errors import AbandonedError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.channels.api.execute import Execution
    from kaizen_nexus.runtime.invocation import Result
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["EVENT_STREAM", "HEARTBEAT", "EventStream", "Streaming"]

EVENT_STREAM = "text/event-stream"
HEARTBEAT = 15.0
"""Seconds between two signs of life: proxies close connections that are silent for a minute."""

logger = logging.getLogger("kaizen_nexus.api")


class Streaming:
    """Runs a workflow for each request, and answers with events.

    An ASGI application for a route that has the workflow's ``name`` as a path parameter. Errors
    before the answer has begun are raised, for the app's exception handlers to answer.

    Parameters
    ----------
    runtime
        What runs it.
    execution
        What reads requests.
    streams
        Where open streams are counted.
    heartbeat
        Seconds after which a silent stream gives a sign of life, and begins if it has not yet; and
        between two looks at whether its reader may still read it.
    farewell
        Seconds that the last event may wait for a reader who does not read.
    """

    def __init__(
        self,
        runtime: Runtime,
        execution: Execution,
        streams: Streams,
        *,
        heartbeat: float = HEARTBEAT,
        farewell: float = FAREWELL_TIMEOUT,
    ) -> None:
        self._runtime = runtime
        self._execution = execution
        self._streams = streams
        self._heartbeat = heartbeat
        self._farewell = farewell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that a router has found."""
        await self.answer(scope["path_params"]["name"], scope, receive, send)

    async def answer(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to stream the workflow called `name`."""
        invocation = await self._execution.invocation(name, scope, receive)
        check = recheck(scope, self._runtime.access, name)
        with self._streams.enter() as stream:
            events = EventStream(send)
            heart = asyncio.ensure_future(events.beat(self._heartbeat))
            try:
                result = await self._runtime.execute(
                    msgspec.structs.replace(
                        invocation,
                        caller_gone=partial(stream.given_up, receive, check, self._heartbeat),
                        chosen=events.choose,
                        attached=events.attach,
                        emit=emitter(invocation, partial(events.send, b"chunk")),
                    )
                )
                last = partial(events.finish, b"result", _summary(events, result))
            except Exception as error:
                last = partial(self._fail, name, events, stream.reason(error), error)
            finally:
                heart.cancel()
            try:
                await asyncio.wait_for(last(), self._farewell)
            except asyncio.TimeoutError:
                logger.warning("the reader of a stream of %r does not read its end", name)

    @staticmethod
    async def _fail(name: str, events: EventStream, reason: Exception, cause: Exception) -> None:
        """Send `reason` as the last event, or raise it if nothing has been sent yet."""
        await events.answer.settle()
        if not events.answer.begun:
            raise reason from cause
        problem, known = problem_of(reason)
        if not known:
            logger.error("streaming %r failed", name, exc_info=cause)
        await events.finish(b"error", bytes(problem.body))


class EventStream:
    """Server-sent events to one reader, numbered from 1.

    Parameters
    ----------
    send
        Where the server takes the answer.
    """

    def __init__(self, send: Send) -> None:
        self.count = 0
        """How many events there were."""
        headers = {
            "Content-Type": EVENT_STREAM,
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would hold events back until a buffer is full
        }
        self.answer = StreamedAnswer(send, headers)
        self._silent = True

    def choose(self, version: int) -> None:
        """Name the workflow's version in the answer's head, which is not sent before."""
        self.answer.headers[VERSION_HEADER] = str(version)

    def attach(self, session_id: str) -> None:
        """Name the session in the answer's head, which is not sent before."""
        self.answer.headers[SESSION_HEADER] = session_id

    async def send(self, kind: bytes, data: bytes) -> None:
        """Send one event; return when the reader can be sent another.

        Parameters
        ----------
        kind
            What it is.
        data
            JSON text.
        """
        self._silent = False
        await self.answer.write(self._event(kind, data))

    async def finish(self, kind: bytes, data: bytes) -> None:
        """Send the last event."""
        await self.answer.settle()
        await self.answer.finish(self._event(kind, data))

    async def beat(self, interval: float) -> None:
        """Give a sign of life whenever nothing was sent for `interval` seconds, until cancelled."""
        # What keeps it from being written ends the run, and is noticed there.
        with contextlib.suppress(AbandonedError, OSError):
            while True:
                self._silent = True
                await asyncio.sleep(interval)
                if self._silent:
                    await self.answer.write(b":\n\n")

    def _event(self, kind: bytes, data: bytes) -> bytes:
        self.count += 1
        lines = b"".join(b"data: %b\n" % line for line in data.splitlines())
        return b"id: %d\nevent: %b\n%b\n" % (self.count, kind, lines)


def _summary(events: EventStream, result: Result) -> bytes:
    """Return what is said of a result, which is not repeated if it was sent in chunks."""
    if result.replayed:
        events.answer.headers[REPLAYED_HEADER] = "true"
    events.choose(result.version)
    if result.session_id is not None:
        events.attach(result.session_id)
    whole = {} if events.count else {"result": msgspec.Raw(result.body)}
    return msgspec.json.encode(
        {
            "status": "success",
            **whole,
            "session_id": result.session_id,
            "duration_ms": result.duration_ns / 1e6,
            "chunks": events.count,
        }
    )
