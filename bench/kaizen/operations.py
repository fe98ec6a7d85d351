"""What both packages do to sessions, keys and metrics, and what their keys tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import kaizen_nexus
from bench.comparing import Target
from bench.core import histograms, keys, sessions
from bench.core.contenders import COMPILED, ORIGINAL, Call, WrongAnswerError, expect, original
from bench.core.contenders.sessions import MANAGER
from bench.core.operations import Operation
from bench.core.scale import Scale

__all__ = [
    "NAME",
    "OURS",
    "against_original",
    "key_of_agent",
    "operations",
]

OURS = "ours"
NAME = "assistant"
"""What the agent is deployed as."""


def operations(agent: Any, scale: Scale, say: Callable[[str], None]) -> Iterator[Operation]:
    """Yield what both packages do to sessions, keys and metrics."""
    for operation in (*sessions.hot(), sessions.create()):
        yield against_original(operation, MANAGER)
    yield against_original(keys.key_of_configuration(), COMPILED)
    yield key_of_agent(agent)
    say(f"{scale.many:,} records in each package's metrics")
    yield against_original(histograms.summary(histograms.latencies(scale.many)), COMPILED)


def against_original(operation: Operation, ours: str) -> Operation:
    """Return the same operation with no other rival than the original."""
    return replace(
        operation,
        runs={name: run for name, run in operation.runs.items() if name in {ours, ORIGINAL}},
        targets=[
            replace(target, subject="")
            for target in operation.targets
            if target.rival == ORIGINAL and (target.subject or operation.subject) == ours
        ],
        subject=ours,
    )


def key_functions() -> dict[str, Callable[[Any, str], str]]:
    """Return how each package makes the key of an agent."""
    return {
        OURS: kaizen_nexus.DeploymentCache.create_cache_key,
        ORIGINAL: original().DeploymentCache.create_cache_key,
    }


def key_of_agent(agent: Any) -> Operation:
    """Make the key under which an agent's deployment is cached."""
    functions = key_functions()
    for name, create in functions.items():
        expect(name, "the key of the same agent", create(agent, NAME), create(agent, NAME))
        if create(agent, NAME) == create(agent, "another"):
            raise WrongAnswerError(f"{name}: two deployments have one key")
    return Operation(
        "create_cache_key(agent, name)",
        {
            name: Call("create(agent, name)", {"create": f, "agent": agent, "name": NAME}).run()
            for name, f in functions.items()
        },
        targets=[Target(ORIGINAL, 8)],
        subject=OURS,
    )
