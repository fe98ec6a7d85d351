"""What both packages do to sessions, keys and metrics, and what their keys tell apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import kaizen_nexus
from bench.comparing import Target
from bench.core import histograms, keys, sessions
from bench.core.contenders import COMPILED, ORIGINAL, Call, WrongAnswerError, expect, original
from bench.core.contenders.sessions import MANAGER
from bench.core.operations import Operation
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = [
    "NAME",
    "OURS",
    "against_original",
    "coverage",
    "key_of_agent",
    "operations",
    "with_other",
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


def coverage(agent: Any) -> Section:
    """Return which settings change the key, for each package: the others make it stale."""
    names = [field.name for field in fields(agent.config)]
    rows, data = [], {}
    for who, create in key_functions().items():
        former = create(agent, NAME)
        missed = [name for name in names if create(with_other(agent, name), NAME) == former]
        figure = f"{len(names) - len(missed)} of {len(names)}"
        data[who] = missed
        target = f"all {len(names)}" if who == OURS else ""
        reason = f"it does not change with {', '.join(missed)}" if missed else ""
        row = Row(f"settings that the key depends on: {who}", figure, target, reason=reason)
        rows.append(replace(row, met=not missed) if target else row)
    return Section("What a cache key tells apart", rows, {"settings that are missed": data})


def with_other(agent: Any, name: str) -> Any:
    """Return the agent with another value of one setting, of the same type where there is one."""
    other, config = copy.copy(agent), copy.copy(agent.config)
    value = getattr(config, name)
    match value:
        case bool():
            value = not value
        case int() | float():
            value += 1
        case str():
            value += "-other"
        case list():
            value = [*value, "other"]
        case set():
            value = {*value, "other"}
        case _:
            value = "other"
    # Some settings refuse to be changed once an agent has them.
    object.__setattr__(config, name, value)
    other.config = config
    return other
