"""Bounds on depth, size, time and memory, for values that someone else may have chosen."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

LIMIT = 16 * 1024 * 1024
TOO_LARGE = f"cache_key: the values encode to more than {LIMIT} bytes"
TOO_DEEP = "cache_key: values are nested more than 100 deep at $"


@dataclass(frozen=True)
class Node:
    inner: Any


class Wrapper:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __cache_key__(self) -> Any:
        return self.inner


NESTINGS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {"a": inner},
    "frozenset": lambda inner: frozenset({inner}),
    "dataclass": Node,
    "method": Wrapper,
}


class Endless:
    def __cache_key__(self) -> Any:
        return Endless()


@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_hundred_levels_are_allowed(core, nesting):
    module = core.module("cache_key")
    value: Any = 1
    for _ in range(100):
        value = NESTINGS[nesting](value)
    assert len(module.cache_key(value)) == 32
    with pytest.raises(ValueError, match="nested more than 100 deep") as caught:
        module.cache_key(NESTINGS[nesting](value))
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(TOO_DEEP)


def test_depth_counts_through_keys(core):
    value: Any = 1
    for _ in range(50):
        value = (frozenset({value}),)
    module = core.module("cache_key")
    assert len(module.encode(value)) > 100
    with pytest.raises(ValueError, match=r"\.keys\(\)"):
        module.encode({value: 1})


def test_an_object_that_always_returns_another_ends(core):
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        core.module("cache_key").cache_key(Endless())


def test_depth_is_forgotten_on_the_way_out(core):
    deep: Any = 1
    for _ in range(95):
        deep = (deep,)
    siblings = [deep, {1: deep}, {deep: 2}, {deep}, frozenset({deep}), Node(deep), Wrapper(deep)]
    assert len(core.module("cache_key").encode(siblings * 10)) > 10_000


# The parts of these encodings beyond the payload: the count, a tag and a size of four bytes.
@pytest.mark.parametrize("make", [lambda size: "x" * size, lambda size: b"x" * size])
def test_the_size_limit_is_exact(core, make):
    module = core.module("cache_key")
    assert len(module.encode(make(LIMIT - 6))) == LIMIT
    assert len(module.cache_key(make(LIMIT - 6))) == 32
    for value in (make(LIMIT - 5), make(2 * LIMIT)):
        with pytest.raises(ValueError, match="encode to more than") as caught:
            module.encode(value)
        assert str(caught.value) == TOO_LARGE


@pytest.mark.parametrize(
    "make",
    [
        lambda: 1 << (8 * LIMIT),
        lambda: -(1 << (8 * LIMIT)),
        lambda: "\u20ac" * (LIMIT // 3),
        lambda: ["x" * 1_000_000] * 17,
        lambda: dict.fromkeys(range(17), "x" * 1_000_000),
        lambda: frozenset((number, "x" * 1_000_000) for number in range(17)),
        lambda: {(number, "x" * 1_000_000): None for number in range(17)},
        lambda: [None] * LIMIT,
        pytest.param(lambda: [1.5] * (LIMIT // 9 + 1), marks=pytest.mark.slow),
        pytest.param(lambda: [[7] * (LIMIT // 30)] * 10, marks=pytest.mark.slow),
    ],
    ids=[
        "int", "negative int", "str", "strs", "values", "elements", "keys", "count", "floats",
        "shared",
    ],
)  # fmt: skip
def test_values_beyond_the_limit_are_refused(core, make):
    with pytest.raises(ValueError, match="encode to more than") as caught:
        core.module("cache_key").cache_key(make())
    assert str(caught.value) == TOO_LARGE


def test_references_that_multiply_end_at_the_limit(core):
    value: Any = ["lol"] * 10
    for _ in range(60):
        value = [value] * 10
    with pytest.raises(ValueError, match="encode to more than"):
        core.module("cache_key").cache_key(value)


def test_a_million_elements(core):
    encode = core.module("cache_key").encode
    assert len(encode(list(range(1_000_000)))) < 6_000_000


class Load:
    """Calls that succeed and calls that fail, with every buffer grown beyond its first size."""

    def __init__(self, cache_key: Callable[..., str]) -> None:
        self.cache_key = cache_key
        self.marker = SimpleNamespace(a=[1.5, {"k": ("é" * 3000, 2**70)}])
        self.config = {f"k{n}": [n, self.marker, {n, "x"}, {f"é{n}": Node(n)}] for n in range(200)}
        self.failing = {**self.config, "z": [Wrapper([float("nan")])]}

    def run(self) -> None:
        self.cache_key(self.config)
        with pytest.raises(TypeError):
            self.cache_key(self.failing)


def test_no_reference_is_left_behind(core):
    load = Load(core.module("cache_key").cache_key)
    held = [load.marker, load.marker.a, load.config, load.failing, load.config["k7"]]
    load.run()
    gc.collect()
    before = [sys.getrefcount(item) for item in held]
    for _ in range(5):
        load.run()
    gc.collect()
    assert [sys.getrefcount(item) for item in held] == before


def test_no_memory_is_left_behind(core):
    load = Load(core.module("cache_key").cache_key)
    tracemalloc.start()
    try:
        load.run()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            load.run()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 5_000
