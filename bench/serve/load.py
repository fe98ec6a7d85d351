"""Putting a server under load, by the generator that comes with this package."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from bench.core.contenders import WrongAnswerError
from bench.serve import generator
from bench.serve.requests import Template

__all__ = ["CONNECTIONS", "Load", "load"]

CONNECTIONS = 32
MARGIN = 60.0
"""Seconds beyond its time after which a generator is given up."""


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


def load(
    port: int,
    template: Template,
    seconds: float,
    connections: int = CONNECTIONS,
    *,
    rate: float | None = None,
    seed: int = 0,
) -> Load:
    """Send requests for so long.

    Parameters
    ----------
    port
        Where the server listens on this machine.
    template
        What to send.
    seconds
        How long.
    connections
        How many.
    rate
        Requests a second, at moments that do not depend on the answers; None keeps all connections
        busy.
    seed
        Draws those moments.

    Raises
    ------
    WrongAnswerError
        An answer was not what is expected, or none came.
    """
    plan = {
        **template.plan(port),
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
