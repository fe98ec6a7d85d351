"""Putting a server under load, by wrk or by the generator that comes with this package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.core.contenders import WrongAnswerError
from bench.serve import generator
from bench.serve.processes import HOST
from bench.serve.requests import NUMBERS, Template

__all__ = ["CONNECTIONS", "Load", "closed_loop", "generator_name", "open_loop"]

CONNECTIONS = 32
MARGIN = 60.0
"""Seconds beyond its time after which a generator is given up."""

# Raw requests: wrk.format would take longer than the rest of the script.
SCRIPT = """
local body, head, values = {body}, {head}, {{{values}}}
local number = {first}

function request()
  local text = body:gsub("{number}", number)
  local start = head
  if #values > 0 then start = head:gsub("{value}", values[number % #values + 1]) end
  number = number + 1
  return start .. "Content-Length: " .. #text .. "\\r\\n\\r\\n" .. text
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests":%d,"seconds":%.6f,"p50":%.9f,"p99":%.9f,"errors":%d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What a server did under a load."""

    requests: int
    """Answered in time."""
    seconds: float
    p50: float
    """Seconds."""
    p99: float
    offered: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def generator_name() -> str:
    """Return what `closed_loop` uses on this machine."""
    return "wrk" if shutil.which("wrk") else "the generator of the harness, in Python"


def closed_loop(
    port: int,
    template: Template,
    seconds: float,
    connections: int = CONNECTIONS,
    exact: bool = False,
) -> Load:
    """Keep all connections busy.

    Parameters
    ----------
    port
        Where the server listens on this machine.
    template
        What to send.
    seconds
        How long. Under a second it is always our own generator, since wrk counts whole ones.
    connections
        How many.
    exact
        Whether every request that was sent is waited for and counted, which wrk does not do.

    Raises
    ------
    WrongAnswerError
        An answer was not what is expected (wrk looks at the status alone), or none came.
    """
    program = shutil.which("wrk")
    if exact or seconds < 1 or program is None:
        return _generated(port, template, seconds, connections)
    first = next(NUMBERS)
    script = SCRIPT.format(
        body=_quoted(template.body),
        head=_quoted(template.head(port)),
        values=",".join(map(_quoted, template.values)),
        first=first,
        number=generator.NUMBER,
        value=generator.VALUE,
    )
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        file = Path(folder) / "requests.lua"
        file.write_text(script, encoding="utf-8")
        command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["-s", str(file), f"http://{HOST}:{port}{template.path}"]
        completed = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + MARGIN
        )
    if completed.returncode != 0:
        raise WrongAnswerError(f"wrk failed: {completed.stdout}{completed.stderr}")
    result = json.loads(completed.stdout.splitlines()[-1])
    if result.pop("errors"):
        raise WrongAnswerError(f"errors under load at {template.path}: {completed.stdout}")
    return Load(**result, offered=result["requests"])


def open_loop(port: int, template: Template, seconds: float, rate: float, seed: int) -> Load:
    """Offer `rate` requests a second, at moments that do not depend on the answers.

    Raises
    ------
    WrongAnswerError
        An answer was not what is expected, or none came.
    """
    return _generated(port, template, seconds, CONNECTIONS, rate=rate, seed=seed)


def _generated(
    port: int,
    template: Template,
    seconds: float,
    connections: int,
    *,
    rate: float | None = None,
    seed: int = 0,
) -> Load:
    plan = {
        "host": HOST,
        "port": port,
        "head": template.head(port),
        "body": template.body,
        "expected": template.expected,
        "values": list(template.values),
        "first": next(NUMBERS),
        "connections": connections,
        "seconds": seconds,
        "rate": rate,
        "seed": seed,
    }
    completed = subprocess.run(
        [sys.executable, "-I", "-S", generator.__file__],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + MARGIN,
    )
    if completed.returncode != 0:
        raise WrongAnswerError(f"load at {template.path}: {completed.stderr[-2_000:]}")
    return Load(**json.loads(completed.stdout))


def _quoted(text: str) -> str:
    """Return `text` as a string of Lua."""
    escapes = {"\\": "\\\\", '"': '\\"', "\r": "\\r", "\n": "\\n"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'
