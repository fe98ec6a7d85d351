"""Deploying: for the first time, from the cache, many at a time, and what it leaves behind."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

from bench.guide.assistant import Assistant, Config, smallest
from bench.guide.figures import expect, milliseconds
from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import Nexus, clear_deployment_cache, deploy_multi_channel

__all__ = ["concurrency", "deployment", "memory"]

DEPLOYMENTS = 100
AT_A_TIME = 20


def deployment(rounds: int) -> list[Row]:
    """First and cached deployment on three channels."""
    built, found = built_and_found(Assistant(Config()), rounds)
    least_built, least_found = built_and_found(smallest, rounds)
    return [
        Row("multi-channel deploy", milliseconds(built), "20 ms", built.median < 0.02),
        Row(
            "the same from the cache",
            f"{milliseconds(found)}, {saved(built, found):.1%} less",
            "95 % less",
            saved(built, found) >= 0.95,
        ),
        Row(
            "the same for a function of one line",
            f"{milliseconds(least_built)}, then {milliseconds(least_found)}, "
            f"{saved(least_built, least_found):.1%} less",
            "95 % less",
            saved(least_built, least_found) >= 0.95,
        ),
    ]


def built_and_found(agent: object, rounds: int) -> tuple[Sample, Sample]:
    """Time deploying `agent` with the cache empty, and right after that from the cache."""
    app = Nexus()

    def cached() -> None:
        expect(deploy_multi_channel(agent, app, "assistant")["mcp"], "assistant")

    def first() -> None:
        clear_deployment_cache()
        cached()

    samples = alternate({"first": first, "cached": cached}, rounds * 8)
    return samples["first"], samples["cached"]


def saved(built: Sample, found: Sample) -> float:
    """Return which part of the time the cache saves."""
    return 1 - found.median / built.median


def concurrency(rounds: int) -> list[Row]:
    """Many deployments at the same time."""
    app = Nexus()

    def deploy_all() -> None:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            names = [
                pool.submit(deploy_multi_channel, Assistant(Config()), app, f"agent_{i}")
                for i in range(AT_A_TIME)
            ]
            expect([n.result()["mcp"] for n in names], [f"agent_{i}" for i in range(AT_A_TIME)])

    sample = alternate({"deploy": deploy_all}, rounds)["deploy"]
    return [
        Row(f"{AT_A_TIME} concurrent deployments", milliseconds(sample), "all succeed", True),
    ]


def memory(_: int) -> list[Row]:
    """Count what is left of deployments that are gone."""
    app = Nexus()

    def cycle() -> None:
        for i in range(DEPLOYMENTS):
            deploy_multi_channel(Assistant(Config()), app, f"agent_{i}")
        for i in range(DEPLOYMENTS):
            expect(app.deregister(f"agent_{i}"), True)

    cycle()
    gc.collect()
    before = len(gc.get_objects())
    cycle()
    gc.collect()
    left = len(gc.get_objects()) - before
    return [
        Row(
            f"objects left by {DEPLOYMENTS} deployments, undeployed",
            f"{left:,}",
            "1,000",
            left < 1_000,
        )
    ]
