"""Deploying: for the first time, from the cache, many at a time, and what it leaves behind."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

from bench.comparing import spread
from bench.core.contenders import expect
from bench.guide.assistant import Assistant, Config, smallest, within
from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import Nexus, clear_deployment_cache, deploy_multi_channel

__all__ = ["built_and_found", "concurrency", "deployment", "memory"]

DEPLOYMENTS = 100
AT_A_TIME = 20
SAVED = 0.95


def deployment(rounds: int) -> list[Row]:
    """First and cached deployment on three channels."""
    built, found = built_and_found(Assistant(Config()), rounds)
    least = built_and_found(smallest, rounds)
    return [
        within("multi-channel deploy", built, 0.02),
        _saving("the same from the cache", built, found),
        _saving("the same for a function of one line", *least),
    ]


def _saving(name: str, built: Sample, found: Sample) -> Row:
    part = 1 - found.median / built.median
    figure = f"{spread(built)}, then {spread(found)}, {part:.1%} less"
    return Row(name, figure, f"{SAVED:.0%} less", part >= SAVED)


def built_and_found(agent: object, rounds: int) -> tuple[Sample, Sample]:
    """Time deploying `agent` with the cache empty, and right after that from the cache."""
    app = Nexus()

    def cached() -> None:
        deployed = deploy_multi_channel(agent, app, "assistant")
        expect("deploying", "the tool", deployed["mcp"], "assistant")

    def first() -> None:
        clear_deployment_cache()
        cached()

    samples = alternate({"first": first, "cached": cached}, rounds * 8)
    return samples["first"], samples["cached"]


def concurrency(rounds: int) -> list[Row]:
    """Many deployments at the same time."""
    app = Nexus()
    names = [f"agent_{number}" for number in range(AT_A_TIME)]

    def deploy(name: str) -> str:
        return deploy_multi_channel(Assistant(Config()), app, name)["mcp"]

    def deploy_all() -> None:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            expect("deploying", "the tools", list(pool.map(deploy, names)), names)

    sample = alternate({"deploy": deploy_all}, rounds)["deploy"]
    return [Row(f"{AT_A_TIME} concurrent deployments", spread(sample), "all succeed", True)]


def memory(_: int) -> list[Row]:
    """Count what is left of deployments that are gone."""
    app = Nexus()

    def objects_after_cycle() -> int:
        for number in range(DEPLOYMENTS):
            deploy_multi_channel(Assistant(Config()), app, f"agent_{number}")
        for number in range(DEPLOYMENTS):
            expect("undeploying", "the answer", app.deregister(f"agent_{number}"), True)
        gc.collect()
        return len(gc.get_objects())

    before = objects_after_cycle()
    left = objects_after_cycle() - before
    what = f"objects left by {DEPLOYMENTS} deployments, undeployed"
    return [Row(what, f"{left:,}", "under 1,000", left < 1_000)]
