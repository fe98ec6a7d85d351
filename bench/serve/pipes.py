"""A client of an MCP server over its standard input and output, which does no more than it must."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Any

from bench.core.contenders import WrongAnswerError

__all__ = ["Pipe"]

HANDSHAKE = "2025-06-18"
STOPPING = 5.0


class Pipe:
    """A server in a process of its own, at the other end of two pipes.

    Parameters
    ----------
    command
        What to run.
    environ
        Its environment.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = count(1)

    def __enter__(self) -> Pipe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def shake_hands(self) -> None:
        """Begin the conversation."""
        client = {"name": "bench", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
        answer = self._request("initialize", params)
        if "result" not in answer:
            raise WrongAnswerError(f"no handshake: {answer}")
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def calls(self, number: int, tool: str, arguments: Mapping[str, Any], place: str) -> float:
        """Call a tool so many times, one after the other; return the seconds that took.

        Parameters
        ----------
        number
            How many times.
        tool
            Its name.
        arguments
            What it is given; `place` in its query is replaced by a number each time.
        place
            Where the number goes.

        Raises
        ------
        WrongAnswerError
            An answer does not contain the query.
        """
        started = time.perf_counter()
        for _ in range(number):
            query = arguments["query"].replace(place, str(next(self._numbers)))
            params = {"name": tool, "arguments": {**arguments, "query": query}}
            answer = self._request("tools/call", params)
            if query not in str(answer.get("result")):
                raise WrongAnswerError(f"tools/call over stdio: {answer}")
        return time.perf_counter() - started

    def _request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            stdout = self._process.stdout
            line = stdout.readline() if stdout is not None else b""
            if not line:
                raise WrongAnswerError(f"{self._process.args!r} ended without an answer")
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == number:
                return answer

    def _write(self, message: Mapping[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the pipe is closed")
        stdin.write(json.dumps(message).encode() + b"\n")
        stdin.flush()
