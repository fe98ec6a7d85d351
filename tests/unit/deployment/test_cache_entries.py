"""What the cache tells of its entries, and of what it could not cache."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import describe_agent
from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.deployment.cache import DeploymentCache
from kaizen_nexus.deployment.cache_entries import EntryNotFoundError

key = DeploymentCache.create_cache_key


@dataclass(frozen=True)
class Config:
    model: str = "small"
    temperature: float = 0.7
    api_key: str | None = None
    stop: tuple[str, ...] = ()


class Agent(BaseAgent):
    """Answer."""

    def process(self, question: str, depth: int = 2) -> str:
        return question


class Deeper(Agent):
    """Answer."""

    def process(self, question: str, depth: float = 2) -> str:
        return question


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_entries_tell_their_history() -> None:
    clock = Clock()
    cache = DeploymentCache(clock=clock)
    cache.get_or_build(key(Agent(Config()), "built"), lambda: "plan")
    clock.now += 5
    cache.set(key(Agent(Config()), "set"), "plan")
    cache.set("some other key", "value")
    clock.now += 2
    assert cache.get(key(Agent(Config()), "built")) == "plan"
    by_hand, other, built = cache.entries()
    assert [entry["name"] for entry in (by_hand, other, built)] == ["set", None, "built"]
    assert (built["key"], built["kind"]) == (key(Agent(Config()), "built"), "plan")
    assert (built["age_seconds"], built["hits"], by_hand["age_seconds"]) == (7, 1, 2)
    assert built["build_seconds"] >= 0
    assert by_hand["build_seconds"] is None
    assert built["fields"] > 10
    assert built["field_bytes"] > 200
    assert (other["name"], other["kind"], other["fields"]) == (None, None, 0)


def test_why_names_the_fields_that_differ() -> None:
    cache = DeploymentCache()
    base = Agent(Config())
    cache.set(key(base, "base"), 1)
    cache.set(key(Agent(Config(temperature=0.3, api_key="hush")), "cold"), 1)
    cache.set(key(Deeper(Config()), "base"), 1)
    first = cache.entries()[0]["key"]
    comparison = cache.why(first, "cold")
    assert [str(d) for d in comparison.differences if "api_key" not in d.field] == [
        "config.temperature: 0.7 -> 0.3",
        "name: 'base' -> 'cold'",
    ]
    assert "hush" not in str(comparison)
    deeper = [str(d) for d in cache.why(first, cache.entries()[2]["key"][:8]).differences]
    assert "signature.inputs.depth.type: int -> float" in deeper
    assert cache.why(first, first).differences == []


@pytest.mark.parametrize("field", [field.name for field in fields(Config)])
def test_each_field_of_a_configuration_is_named_alone(field: str) -> None:
    other = {"model": "large", "temperature": 0.1, "api_key": "k", "stop": ("x",)}[field]
    cache = DeploymentCache()
    keys = [key(Agent(c), "it") for c in (Config(), replace(Config(), **{field: other}))]
    for each in keys:
        cache.set(each, 1)
    found = {d.field.partition("[")[0] for d in cache.why(*keys).differences}
    assert found == {f"config.{field}"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nope", "nothing is cached under 'nope'"),
        ("", "nothing is cached"),
        ("same", "'same' may be any of"),
        ("aaaa", "may be any of"),
        ("aaa", "nothing is cached under 'aaa'"),
    ],
)
def test_an_entry_that_is_not_there_or_not_the_only_one(wanted: str, message: str) -> None:
    cache = DeploymentCache()
    for agent in (Agent(Config()), Agent(Config(model="large"))):
        cache.set(key(agent, "same"), 1)
    cache.set("aaaa1", 1)
    cache.set("aaaa2", 1)
    with pytest.raises(EntryNotFoundError, match=message):
        cache.why(wanted, "aaaa1")
    with pytest.raises(LookupError):
        cache.why("aaaa1", wanted)


def test_what_cannot_be_described_is_counted_and_told() -> None:
    cache = DeploymentCache(max_size=2)
    undescribed = Agent({"callback": lambda: None})
    shape = describe_agent(undescribed)
    for name in ("a", "b", "c", "b"):
        assert cache.key_for(undescribed, name, shape, "plan") is None
    assert cache.stats()["undescribed"] == 4
    assert list(cache.uncached()) == ["c", "b"]
    assert "cannot encode" in cache.uncached()["b"]
    described = Agent(Config())
    assert cache.key_for(described, "d", describe_agent(described), "plan") == key(described, "d")
    cache.invalidate()
    assert cache.uncached() == {}


def test_the_cache_keeps_no_configuration_alive() -> None:
    import gc
    import weakref

    class Settings:
        def __init__(self) -> None:
            self.model = "small"

    config: Any = Settings()
    agent = Agent(config)
    cache = DeploymentCache()
    cache.get_or_build(key(agent, "it"), lambda: "plan")
    alive = weakref.ref(config)
    del config, agent
    gc.collect()
    assert alive() is None
    assert all(type(entry["key"]) is str for entry in cache.entries())
