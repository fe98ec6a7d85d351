"""``nexus run --stream``: send what a run prints while it runs, as lines of JSON.

Every line but the last holds text to print. The last is an `Outcome`, the answer to a run that does
not stream; it is also the whole answer to a run that ends before it has printed anything.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from kaizen_nexus.channels.cli.outcome import EXPECTED, Outcome, failed, succeeded
from kaizen_nexus.channels.cli.protocol import EXIT_OK, EXIT_REFUSED, STREAM_TYPE
from kaizen_nexus.http.streams import FAREWELL_TIMEOUT, StreamedAnswer, Streams, emitter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Send

    from kaizen_nexus.channels.cli.command import WorkflowCommand
    from kaizen_nexus.runtime.invocation import Invocation, Result
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["StreamedRuns"]

logger = logging.getLogger("kaizen_nexus.cli")


class StreamedRuns:
    """Runs workflows, and sends what they print while they run.

    Parameters
    ----------
    runtime
        What runs them.
    streams
        Where open streams are counted.
    """

    def __init__(self, runtime: Runtime, streams: Streams) -> None:
        self._runtime = runtime
        self._streams = streams

    async def run(
        self,
        command: WorkflowCommand,
        invocation: Invocation,
        receive: Receive,
        send: Send,
        *,
        json_output: bool,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome | None:
        """Run a workflow; return its outcome, or None if it was streamed.

        Errors are raised if nothing was streamed yet.

        Parameters
        ----------
        command
            What has parsed the command line.
        invocation
            What to run.
        receive, send
            The client, whose request has been read.
        json_output
            Whether everything is printed as JSON, one value a line.
        check
            Raises if the client would be refused now.
        """
        printed = _Printed(send, json_output=json_output)
        last: Callable[[], Awaitable[Outcome | None]]
        with self._streams.enter() as stream:
            try:
                result = await self._runtime.execute(
                    msgspec.structs.replace(
                        invocation,
                        caller_gone=partial(stream.given_up, receive, check),
                        emit=emitter(invocation, printed.emit),
                    )
                )
                last = partial(self._succeed, printed, result, json_output=json_output)
            except Exception as error:
                last = partial(self._fail, command, printed, stream.reason(error), error)
            try:
                return await asyncio.wait_for(last(), FAREWELL_TIMEOUT)
            except asyncio.TimeoutError:
                logger.warning("nexus run does not read the end of what %r prints", invocation.name)
        return None

    @staticmethod
    async def _succeed(printed: _Printed, result: Result, *, json_output: bool) -> Outcome | None:
        """Send the end of a successful run, or return it if nothing was sent yet."""
        await printed.answer.settle()
        if not printed.answer.begun:
            return succeeded(result, json_output=json_output)
        await printed.finish(printed.succeeded(result))
        return None

    @staticmethod
    async def _fail(
        command: WorkflowCommand, printed: _Printed, reason: Exception, cause: Exception
    ) -> None:
        """Send why the run failed, or raise it if nothing was sent yet."""
        await printed.answer.settle()
        if not printed.answer.begun:
            raise reason from cause
        await printed.finish(printed.failed(reason, command))


class _Printed:
    """What a run has printed so far.

    Parameters
    ----------
    send
        The client.
    json_output
        Whether everything is JSON.
    """

    def __init__(self, send: Send, *, json_output: bool) -> None:
        headers = {
            "Content-Type": STREAM_TYPE,
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would hold lines back until a buffer is full
        }
        self.answer = StreamedAnswer(send, headers)
        self._json_output = json_output
        self._chunks = 0
        self._mid_line = False

    async def emit(self, chunk: bytes) -> None:
        """Print a chunk: text as it is, anything else on a line of its own."""
        self._chunks += 1
        if chunk.startswith(b'"') and not self._json_output:
            text: str = msgspec.json.decode(chunk, type=str)
            self._mid_line = not text.endswith("\n") if text else self._mid_line
        else:
            text = f"{self._line_end()}{chunk.decode()}\n"
            self._mid_line = False
        await self.answer.write(msgspec.json.encode({"stdout": text}) + b"\n")

    async def finish(self, outcome: Outcome) -> None:
        """Send how the run ended."""
        await self.answer.finish(msgspec.json.encode(outcome) + b"\n")

    def succeeded(self, result: Result) -> Outcome:
        """Return what is printed after the last chunk."""
        if not self._json_output:
            note = f"session: {result.session_id}\n" if result.session_id else ""
            return Outcome(EXIT_OK, self._line_end(), note)
        summary = {
            "status": "success",
            "session_id": result.session_id,
            "duration_ms": result.duration_ns / 1e6,
            "chunks": self._chunks,
        }
        return Outcome(EXIT_OK, f"{msgspec.json.encode(summary).decode()}\n")

    def failed(self, error: Exception, command: WorkflowCommand) -> Outcome:
        """Return what is printed after the last chunk if the run failed."""
        if isinstance(error, EXPECTED):
            return replace(failed(error, command), stdout=self._line_end())
        logger.error("streaming what %r prints failed", command.name, exc_info=error)
        text = "Error: the server failed; its log says why.\n"
        return Outcome(EXIT_REFUSED, self._line_end(), text)

    def _line_end(self) -> str:
        return "\n" if self._mid_line else ""
