"""The deployment cache on its own."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from observations.agents import Agent


def getting_and_setting(nexus: ModuleType) -> Any:
    cache = nexus.DeploymentCache()
    workflow = {"nodes": 1}
    missing = cache.get("a")
    cache.set("a", workflow)
    cache.set("b", 2)
    cache.set(cache_key="a", workflow=workflow)
    return [
        missing,
        cache.get("a") is workflow,
        cache.get(cache_key="b"),
        [cache.stats()["size"], cache.stats()["max_size"]],
    ]


def invalidating(nexus: ModuleType) -> Any:
    cache = nexus.DeploymentCache(5)
    for key in "abc":
        cache.set(key, key)
    cache.invalidate("a")
    cache.invalidate("nope")
    cache.invalidate(cache_key="b")
    one = [cache.get("a"), cache.get("b"), cache.get("c"), cache.stats()["size"]]
    cache.invalidate()
    return [one, cache.get("c"), cache.stats()["size"], cache.max_size]


def a_full_cache_lets_the_first_go(nexus: ModuleType) -> Any:
    cache = nexus.DeploymentCache(max_size=2)
    for key in "abc":
        cache.set(key, key)
    return [[cache.get(key) for key in "abc"], cache.stats()["size"]]


def what_changes_a_key(nexus: ModuleType) -> Any:
    cache = nexus.DeploymentCache()
    key = cache.create_cache_key(Agent(), "qa")
    return [
        isinstance(key, str),
        set(key) <= set("0123456789abcdef"),
        key == cache.create_cache_key(agent=Agent(), name="qa"),
        key == nexus.DeploymentCache().create_cache_key(Agent(), "qa"),
        key != cache.create_cache_key(Agent(), "other"),
        *(
            key != cache.create_cache_key(Agent(**{name: value}), "qa")
            for name, value in (
                ("model", "large"),
                ("llm_provider", "openai"),
                ("temperature", 0.6),
                ("system_prompt", "Ask."),
            )
        ),
    ]


def the_cache_of_the_process(nexus: ModuleType) -> Any:
    cache = nexus.get_deployment_cache()
    nexus.clear_deployment_cache()
    cache.set("a", 1)
    filled = nexus.get_deployment_cache().stats()["size"]
    nexus.clear_deployment_cache()
    return [
        type(cache) is nexus.DeploymentCache,
        cache is nexus.get_deployment_cache(),
        cache.max_size,
        filled,
        cache.stats()["size"],
    ]
