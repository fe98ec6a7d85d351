"""Contenders answer before they are timed; those that answer wrongly are refused."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.core.contenders import Call, WrongAnswerError
from bench.core.contenders.histograms import METRICS, POINTS, QUANTILES, RECORDERS, ranked
from bench.core.contenders.keys import CONFIGURATION, KEYS, check
from bench.core.contenders.sessions import CACHES, CHANGE, CHANNEL, TABLES, Dict, state_of
from bench.core.heap import random_ids
from bench.core.histograms import latencies
from bench.core.sessions import check_state

VALUES = latencies(5_000)


def made(maker: Callable[[], Any]) -> Any:
    try:
        return maker()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("name", [*TABLES, *CACHES, "dict"])
def test_states_are_read_as_they_were_written(name: str) -> None:
    contender = made({**TABLES, **CACHES, "dict": Dict}[name])
    ids = random_ids(10)
    contender.fill(ids)
    check_state(name, contender, ids)


@pytest.mark.parametrize("name", TABLES)
def test_every_store_does_what_the_load_needs(name: str) -> None:
    store = made(TABLES[name])
    dying, live = random_ids(6)[:3], random_ids(6)[3:]
    store.fill(dying)
    store.fill(live)
    assert store.sweep_all() == 0
    assert store.size() == 6
    assert store.read(live[1], CHANNEL) == state_of(1)
    assert store.write(live[1], CHANGE, CHANNEL) is True
    assert store.read(live[1], CHANNEL) == state_of(2)
    assert store.read("absent", CHANNEL) is None
    assert store.write("absent", {}, CHANNEL) is False
    store.expire(dying)
    store.sweep_slice()
    assert sorted(store.ids()) == sorted(live)
    store.delete(live[0])
    store.add()
    assert store.size() == 3


@pytest.mark.parametrize("name", TABLES)
def test_creating_starts_with_an_empty_table(name: str) -> None:
    table = made(TABLES[name])
    table.fill(random_ids(10))
    table.refresh()
    assert table.sweep.function()() == 0
    table.create.run()(3)
    assert table.size() == 3


def test_a_cache_that_forgets_is_refused() -> None:
    forgetful = Dict()
    ids = random_ids(3)
    forgetful.fill(ids)
    del forgetful.held[ids[1]]
    with pytest.raises(WrongAnswerError, match="broken: session 1 of 3 gives None"):
        check_state("broken", forgetful, ids)


def test_an_update_that_does_nothing_is_refused() -> None:
    idle = Dict()
    ids = random_ids(1)
    idle.fill(ids)
    idle.update = Call("None", {})
    with pytest.raises(WrongAnswerError, match="an updated session"):
        check_state("broken", idle, ids)


@pytest.mark.parametrize("name", [*RECORDERS, *METRICS])
def test_recorders_hold_what_was_recorded(name: str) -> None:
    recorder = made({**METRICS, **RECORDERS}[name])
    call = recorder.record(VALUES)
    record = call.function()
    for item in call.items:
        record(item)
    recorder.check(VALUES)
    record(call.items[0])
    with pytest.raises(WrongAnswerError):
        recorder.check(VALUES)


@pytest.mark.parametrize("name", [*QUANTILES, *METRICS])
def test_recorders_hold_what_was_recorded_at_once(name: str) -> None:
    recorder = made({**METRICS, **QUANTILES}[name])
    recorder.fill(VALUES)
    recorder.check(VALUES)
    with pytest.raises(WrongAnswerError):
        recorder.check(VALUES[1:])


def test_percentiles_must_be_within_the_documented_error() -> None:
    true = np.percentile(VALUES, POINTS, method="inverted_cdf")
    ranked("exact", true.tolist(), VALUES)
    ranked("close", (true * 1.0009).tolist(), VALUES, error=0.001)
    with pytest.raises(WrongAnswerError, match="far: percentile"):
        ranked("far", (true * 1.05).tolist(), VALUES, error=0.001)


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_equal_for_equal_configurations_alone(name: str) -> None:
    check(name, made(KEYS[name]))


@pytest.mark.parametrize("function", [lambda _: 1, id])
def test_keys_that_are_always_or_never_equal_are_refused(function: Callable[[Any], int]) -> None:
    keys = SimpleNamespace(
        key=lambda configuration: Call("key(held)", {"key": function, "held": configuration})
    )
    with pytest.raises(WrongAnswerError, match="configurations have"):
        check("broken", keys)


def test_the_configuration_is_about_a_kilobyte() -> None:
    assert 900 < len(str(CONFIGURATION)) < 1_200
