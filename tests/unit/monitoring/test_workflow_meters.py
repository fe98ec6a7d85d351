"""Figures by workflow, version and channel."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kaizen_nexus.monitoring import WorkflowMeter, WorkflowMeters


def run(
    meter: WorkflowMeter, channel: str = "api", seconds: float = 0.5, failed: bool = False
) -> None:
    meter.begin()
    meter.end(channel, seconds, failed)


def labels(meters: WorkflowMeters) -> list[tuple[Any, ...]]:
    return [
        (s["workflow"], s["version"], s["channel"], s["count"], s["failures"])
        for s in meters.stats()["series"]
    ]


def test_runs_are_told_apart_by_workflow_version_and_channel() -> None:
    meters = WorkflowMeters()
    one, two = meters.open("faq", 1), meters.open("faq", 2)
    run(one)
    run(one, failed=True)
    run(one, "mcp")
    run(two, seconds=0.25)
    assert labels(meters) == [
        ("faq", 1, "api", 2, 1),
        ("faq", 1, "mcp", 1, 0),
        ("faq", 2, "api", 1, 0),
    ]
    assert meters.stats()["series"][2]["p99"] == pytest.approx(0.25, rel=1e-3)
    assert meters.stats()["other"]["count"] == 0


def test_a_version_leaves_when_its_last_run_has_ended() -> None:
    meters = WorkflowMeters()
    meter = meters.open("faq", 1)
    run(meter, failed=True)
    meter.begin()
    meter.retire()
    assert (meters.in_flight("faq"), labels(meters)) == ({1: 1}, [("faq", 1, "api", 1, 1)])
    meter.end("api", 0.1, False)
    assert (meters.in_flight("faq"), labels(meters)) == ({}, [])
    other = meters.stats()["other"]
    assert (other["count"], other["failures"]) == (2, 1)


def test_a_run_that_begins_late_on_a_retired_version_is_counted_with_the_others() -> None:
    meters = WorkflowMeters()
    meter = meters.open("faq", 1)
    meter.retire()
    run(meter)
    assert (meters.stats()["other"]["count"], labels(meters)) == (1, [])


def test_there_are_so_many_series_and_who_leaves_makes_room() -> None:
    meters = WorkflowMeters(max_series=2)
    first, *rest = (meters.open(name, 1) for name in "abc")
    for meter in (first, *rest):
        run(meter)
    assert [series[0] for series in labels(meters)] == ["a", "b"]
    assert meters.stats()["other"]["count"] == 1
    first.retire()
    run(meters.open("d", 1))
    assert [series[0] for series in labels(meters)] == ["b", "d"]
    assert meters.stats()["other"]["count"] == 2


def test_no_run_is_lost_between_threads() -> None:
    meters = WorkflowMeters()
    runs, threads = 500, 4
    current = [meters.open("faq", 0)]

    def work() -> None:
        for number in range(runs):
            run(current[0], failed=number % 2 == 0)
            if number % 50 == 0:
                former, current[0] = current[0], meters.open("faq", number)
                former.retire()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    summary = meters.stats()
    entries = [*summary["series"], summary["other"]]
    assert sum(entry["count"] for entry in entries) == runs * threads
    assert sum(entry["failures"] for entry in entries) == runs * threads / 2
