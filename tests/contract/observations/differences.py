# ruff: noqa: DTZ005 - naive local datetimes are what is observed
"""Programs that observe something else of ours than of the original.

The docstring of each is the first cell of its row in docs/migrating.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

from observations import outcome
from observations.agents import Agent, Builder, MockNexus, failing_builds
from observations.sessions import Storage

PACKAGE = "kaizen.integrations.nexus"
SECOND = timedelta(seconds=1)


def _hours_left(session: Any) -> int:
    return round((session.expires_at - datetime.now()).total_seconds() / 3600)


# --- sessions -----------------------------------------------------------------------------------


def the_time_to_live_of_a_manager(nexus: ModuleType) -> Any:
    """`NexusSessionManager(session_ttl=7200)`"""
    made, manager = outcome(nexus.NexusSessionManager, session_ttl=7200)
    return [made, made == "returned" and _hours_left(manager.create_session(user_id="ada"))]


def the_second_parameter_of_a_manager(nexus: ModuleType) -> Any:
    """`NexusSessionManager(300, storage)`, by position"""
    return outcome(nexus.NexusSessionManager, 300, Storage())[0]


def what_an_access_makes_of_a_long_life(nexus: ModuleType) -> Any:
    """Expiry of a session with `ttl_hours=8` after an access"""
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada", ttl_hours=8)
    manager.get_session_state(session.session_id)
    return _hours_left(session)


def what_counts_as_an_access(nexus: ModuleType) -> Any:
    """`get_session` and `bind_memory_pool` of a session that is about to expire"""
    manager = nexus.NexusSessionManager()
    extended = []
    for access in (manager.get_session, lambda key: manager.bind_memory_pool(key, "pool")):
        session = manager.create_session(user_id="ada")
        session.expires_at = datetime.now() + timedelta(minutes=1)
        access(session.session_id)
        extended.append(_hours_left(session) == 1)
    return extended


def the_clock_of_expiry(nexus: ModuleType) -> Any:
    """A clock that is set, or `patch("...session_manager.datetime")`"""
    patched = patch(f"{PACKAGE}.session_manager.datetime")
    with_patch = outcome(patched.start)[0]
    if with_patch == "returned":
        patched.stop()
    return with_patch


def the_lists_of_imports(nexus: ModuleType) -> Any:
    """What the original's modules import for themselves, as `monitoring.time`"""
    return [hasattr(nexus.monitoring, "time"), hasattr(nexus.deployment_cache, "json")]


def the_form_of_an_id(nexus: ModuleType) -> Any:
    """A generated session id"""
    session = nexus.NexusSessionManager().create_session(user_id="ada")
    return [len(session.session_id), session.session_id.count("-")]


def attributes_that_cannot_be_set(nexus: ModuleType) -> Any:
    """`session.session_id = ...`, or an attribute of one's own"""
    session = nexus.CrossChannelSession(user_id="ada")
    return [
        outcome(setattr, session, "session_id", "other")[0],
        outcome(setattr, session, "mine", 1)[0],
        hasattr(session, "__dict__"),
    ]


def a_session_that_is_gone(nexus: ModuleType) -> Any:
    """A session object whose session was deleted or replaced"""
    manager = nexus.NexusSessionManager()
    replaced = manager.create_session("s", "ada")
    deleted = manager.create_session("s", "bob")
    del manager.sessions["s"]
    return [replaced.is_expired(), deleted.is_expired()]


def when_an_expired_session_leaves(nexus: ModuleType) -> Any:
    """The row of an expired session"""
    manager = nexus.NexusSessionManager(cleanup_interval=None)
    session = manager.create_session(user_id="ada")
    session.expires_at = datetime.now() - SECOND
    before = session.session_id in manager.sessions
    manager.get_session(session.session_id)
    return [before, len(manager.sessions), manager.cleanup_expired_sessions()]


def who_cleans_up(nexus: ModuleType) -> Any:
    """Cleanup when no session is created any more"""
    manager = nexus.NexusSessionManager(cleanup_interval=0.01)
    manager.create_session(user_id="ada").expires_at = datetime.now() - SECOND
    deadline = time.monotonic() + 2
    while len(manager.sessions) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    left = len(manager.sessions)
    manager.cleanup_interval = None
    return left


def the_kind_of_the_mapping(nexus: ModuleType) -> Any:
    """`manager.sessions`"""
    manager = nexus.NexusSessionManager()
    session = manager.create_session("s", "ada")
    return [
        type(manager.sessions).__name__,
        outcome(manager.sessions.__setitem__, "other", session)[0],
        outcome(manager.sessions.__setitem__, "s", "no session")[0],
    ]


def the_kind_of_the_activity(nexus: ModuleType) -> Any:
    """`session.channel_activity`"""
    return isinstance(nexus.CrossChannelSession().channel_activity, dict)


def keys_of_the_state(nexus: ModuleType) -> Any:
    """State keys other than `str`"""
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada")
    return [
        outcome(manager.update_session_state, session.session_id, {1: 2}),
        outcome(setattr, session, "state", {1: 2})[0],
    ]


def updates_of_an_unknown_session(nexus: ModuleType) -> Any:
    """`update_session_state("unknown", None)`"""
    return outcome(nexus.NexusSessionManager().update_session_state, "unknown", None)


def names_of_channels(nexus: ModuleType) -> Any:
    """Channel names"""
    manager = nexus.NexusSessionManager()
    key = manager.create_session(user_id="ada").session_id
    return [
        outcome(manager.update_session_state, key, {}, ""),
        outcome(manager.update_session_state, key, {}, 5),
        outcome(lambda: [manager.get_session_state(key, f"c{n}") for n in range(17)] and None),
    ]


def bounds_of_a_session(nexus: ModuleType) -> Any:
    """`ttl_hours` below 0 or above a century, and ids of more than 256 characters"""
    create = nexus.NexusSessionManager().create_session
    return [
        outcome(create, user_id="ada", ttl_hours=-1)[0],
        outcome(create, user_id="ada", ttl_hours=10**6)[0],
        outcome(create, user_id="ada", session_id="x" * 257)[0],
    ]


def types_of_a_session(nexus: ModuleType) -> Any:
    """A `user_id` or `session_id` that is no string"""
    create = nexus.NexusSessionManager().create_session
    return [outcome(create, user_id=5)[1], outcome(create, 5, "ada")[0]]


def how_many_sessions(nexus: ModuleType) -> Any:
    """The number of sessions"""
    return outcome(nexus.NexusSessionManager, max_sessions=10)[0]


def negative_intervals(nexus: ModuleType) -> Any:
    """`cleanup_interval` below 0"""
    return outcome(nexus.NexusSessionManager, cleanup_interval=-1)[0]


def aware_datetimes(nexus: ModuleType) -> Any:
    """`expires_at` with a time zone"""
    session = nexus.CrossChannelSession(expires_at=datetime.now(timezone.utc) + timedelta(hours=2))
    return outcome(session.is_expired)


def the_average_life(nexus: ModuleType) -> Any:
    """`average_ttl_seconds`"""
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada")
    session.created_at -= timedelta(hours=1)
    return round(manager.get_session_metrics()["average_ttl_seconds"])


def further_figures(nexus: ModuleType) -> Any:
    """Keys of `get_session_metrics()`"""
    return len(nexus.NexusSessionManager().get_session_metrics()) > 4


def deleting_in_memory(nexus: ModuleType) -> Any:
    """`delete_session`, `session_ttl`, `cleanup_status`, `close` of a manager"""
    manager = nexus.NexusSessionManager()
    return [
        hasattr(manager, name)
        for name in ("delete_session", "session_ttl", "cleanup_status", "close")
    ]


def storages_that_lack_something(nexus: ModuleType) -> Any:
    """A `storage_backend` without one of its five methods"""
    return outcome(nexus.NexusSessionManager, storage_backend=SimpleNamespace(save=print))[0]


def a_save_that_fails(nexus: ModuleType) -> Any:
    """`create_session_async` whose storage fails"""

    class Full(Storage):
        async def save(self, session: Any) -> str:
            raise OSError("disk full")

    manager = nexus.NexusSessionManager(storage_backend=Full())
    failed = outcome(asyncio.run, manager.create_session_async(user_id="ada"))
    return [failed, len(manager.sessions)]


def deleting_what_only_the_storage_has(nexus: ModuleType) -> Any:
    """`delete_session_async` of a session that only the storage has"""
    storage = Storage()
    storage.kept["s"] = nexus.CrossChannelSession("s", "ada")
    manager = nexus.NexusSessionManager(storage_backend=storage)
    return [asyncio.run(manager.delete_session_async("s")), "s" in storage.kept]


# --- deployment ---------------------------------------------------------------------------------


def builds_of_a_multi_channel_deployment(nexus: ModuleType) -> Any:
    """Builds for one `deploy_multi_channel`"""
    nexus.clear_deployment_cache()
    began = Builder.builds
    nexus.deploy_multi_channel(Agent(), MockNexus(), "qa")
    return Builder.builds - began


def the_cache_of_a_multi_channel_deployment(nexus: ModuleType) -> Any:
    """`deploy_multi_channel(..., use_cache=False)`"""
    nexus.clear_deployment_cache()
    nexus.deploy_multi_channel(Agent(), MockNexus(), "qa", use_cache=False)
    return nexus.get_deployment_cache().stats()["size"]


def options_of_a_multi_channel_deployment(nexus: ModuleType) -> Any:
    """Options of `deploy_multi_channel`"""
    deploy = nexus.deploy_multi_channel
    return [
        deploy(Agent(), MockNexus(), "qa", prefix="/v2", command_prefix="uvx nexus run"),
        outcome(deploy, Agent(), MockNexus(), "qa", use_cahce=False)[0],
    ]


def what_the_key_covers(nexus: ModuleType) -> Any:
    """The cache key"""
    cache, agents = nexus.DeploymentCache(), [Agent(), Agent(), Agent()]
    agents[1].config.top_p = 0.5
    agents[2].tools = ["search"]
    keys = {cache.create_cache_key(agent, "qa") for agent in agents}
    return [len(keys), {len(key) for key in keys} == {64}]


def agents_without_a_key(nexus: ModuleType) -> Any:
    """An agent whose configuration cannot be hashed, such as a `Mock`"""
    app = MockNexus()
    agent = Mock()
    deployed = outcome(nexus.deploy_as_api, agent, app, "qa")
    return [deployed, app.calls]


def what_a_full_cache_evicts(nexus: ModuleType) -> Any:
    """A full `DeploymentCache`"""
    cache = nexus.DeploymentCache(max_size=2)
    cache.set("a", 1)
    cache.set("b", 2)
    cache.get("a")
    cache.set("c", 3)
    return [cache.get(key) for key in "abc"]


def sizes_and_values_of_the_cache(nexus: ModuleType) -> Any:
    """`DeploymentCache(max_size=0)` and `set(key, None)`"""
    return [
        outcome(nexus.DeploymentCache, 0)[0],
        outcome(nexus.DeploymentCache().set, "a", None)[0],
    ]


def figures_of_the_cache(nexus: ModuleType) -> Any:
    """Keys of `DeploymentCache.stats()`"""
    return len(nexus.DeploymentCache().stats()) > 2


def apps_that_cannot_deregister(nexus: ModuleType) -> Any:
    """An app without `deregister`"""
    registered: list[str] = []
    app = SimpleNamespace(register=lambda name, workflow: registered.append(name))
    return [outcome(nexus.deploy_as_api, Agent(), app, "qa"), registered]


def names_that_are_refused(nexus: ModuleType) -> Any:
    """Names that are empty, path-like, or hold anything but letters, digits and `_-.`"""
    app = MockNexus()
    return [
        outcome(nexus.deploy_as_api, Agent(), app, name)[0]
        for name in ("", ".", "..", "../etc", "a/b", "-x", "a b", "é", "x" * 129)
    ] + [len(app.workflows)]


def names_that_are_no_strings(nexus: ModuleType) -> Any:
    """A name that is no string"""
    return outcome(nexus.deploy_as_api, Agent(), MockNexus(), 5)


def empty_commands(nexus: ModuleType) -> Any:
    """`command_prefix=""` and a `tool_description` that is no string"""
    return [
        outcome(nexus.deploy_as_cli, Agent(), MockNexus(), "qa", command_prefix="")[0],
        outcome(nexus.deploy_as_mcp, Agent(), MockNexus(), "qa", tool_description=5)[0],
    ]


def errors_of_bad_arguments(nexus: ModuleType) -> Any:
    """The exception for an agent or app that is `None`, or cannot be deployed or register"""
    return [
        outcome(nexus.deploy_as_api, agent, app, "qa")[1]
        for agent, app in (
            (None, MockNexus()),
            (Agent(), None),
            (object(), MockNexus()),
            (Agent(), object()),
        )
    ]


def agents_that_only_run(nexus: ModuleType) -> Any:
    """An agent with `run` or `process` only, or a function"""

    class Runs:
        def run(self, question: str) -> str:
            return question

    def function(question: str) -> str:
        return question

    app = MockNexus()
    return [
        outcome(nexus.deploy_as_api, Runs(), app, "runs"),
        outcome(nexus.deploy_as_api, function, app, "function"),
    ]


def what_a_failed_build_leaves(nexus: ModuleType) -> Any:
    """The former deployment after a build that fails"""
    nexus.clear_deployment_cache()
    app = MockNexus()
    nexus.deploy_as_api(Agent(model="former"), app, "qa")
    with failing_builds(LookupError("no such model")):
        outcome(nexus.deploy_as_api, Agent(model="later"), app, "qa")
    return app.workflows


def what_a_refusal_leaves(nexus: ModuleType) -> Any:
    """The other channels, when an app refuses one"""
    app = MockNexus()
    register = app.register

    def refusing(name: str, workflow: Any) -> None:
        if name == "qa_mcp":
            raise PermissionError(name)
        register(name, workflow)

    app.register = refusing  # type: ignore[method-assign]
    return [outcome(nexus.deploy_multi_channel, Agent(), app, "qa"), sorted(app.workflows)]


def a_connection_to_nothing(nexus: ModuleType) -> Any:
    """`NexusConnection(None)`"""
    return outcome(nexus.NexusConnection, None)[0]


def what_an_agent_connects_to(nexus: ModuleType) -> Any:
    """`connect_nexus` of an app of another kind"""

    class App:
        def register(self, name: str, workflow: Any) -> None:
            """Take a workflow."""

    return outcome(nexus.NexusDeploymentMixin().connect_nexus, App())[0]


# --- metrics ------------------------------------------------------------------------------------


def the_kind_of_the_lists(nexus: ModuleType) -> Any:
    """`deployment_times`, `api_latencies` and the other lists"""
    metrics = nexus.PerformanceMetrics(api_latencies=[0.5])
    return [
        isinstance(metrics.api_latencies, list),
        hasattr(metrics.api_latencies, "sort"),
        hasattr(metrics.api_latencies, "__setitem__"),
    ]


def the_length_of_the_lists(nexus: ModuleType) -> Any:
    """A list after 10,000 records"""
    metrics = nexus.PerformanceMetrics()
    for number in range(10_000):
        metrics.record_api_latency(number / 1000)
    return [len(metrics.api_latencies), metrics.get_summary()["api"]["count"]]


def further_statistics(nexus: ModuleType) -> Any:
    """Keys of an operation in `get_summary()`"""
    return len(nexus.PerformanceMetrics().get_summary()["api"]) > 5


def latencies_that_are_none(nexus: ModuleType) -> Any:
    """Recording what is no number, or negative"""
    metrics = nexus.PerformanceMetrics()
    metrics.record_cli_latency(-1.0)
    smallest = metrics.get_summary()["cli"]["min"]
    return [smallest, outcome(metrics.record_api_latency, "0.5")[0]]


def unknown_operations(nexus: ModuleType) -> Any:
    """`PerformanceMonitor(metrics, "unknown")`"""
    return outcome(nexus.PerformanceMonitor, nexus.PerformanceMetrics(), "unknown")[0]


def start_of_a_monitor(nexus: ModuleType) -> Any:
    """`start_time` of a monitor"""
    with nexus.PerformanceMonitor(nexus.PerformanceMetrics(), "api") as monitor:
        return abs(monitor.start_time - time.time()) < 60


def a_monitor_in_itself(nexus: ModuleType) -> Any:
    """One monitor entered again before it is left"""
    metrics = nexus.PerformanceMetrics()
    monitor = nexus.PerformanceMonitor(metrics, "api")
    with monitor:
        time.sleep(0.05)
        with monitor:
            pass
    inner, outer = metrics.api_latencies
    return outer - inner > 0.04


def leaving_without_entering(nexus: ModuleType) -> Any:
    """Leaving a monitor that was not entered"""
    monitor = nexus.PerformanceMonitor(nexus.PerformanceMetrics(), "api")
    return outcome(monitor.__exit__, None, None, None)


def a_monitor_as_decorator(nexus: ModuleType) -> Any:
    """A monitor as a decorator"""
    monitor = nexus.PerformanceMonitor(nexus.PerformanceMetrics(), "api")
    return outcome(lambda: monitor(len)("four"))


def the_shown_metrics(nexus: ModuleType) -> Any:
    """`repr(metrics)`"""
    return repr(nexus.PerformanceMetrics(api_latencies=[0.5]))


# --- modules ------------------------------------------------------------------------------------


def the_nexus_of_the_package(nexus: ModuleType) -> Any:
    """`kaizen.integrations.nexus.Nexus`"""
    return nexus.Nexus.__module__.partition(".")[0]


def where_the_classes_are_from(nexus: ModuleType) -> Any:
    """`__module__` of the classes, and so their pickles"""
    return nexus.NexusConnection.__module__.partition(".")[0]


def what_a_module_holds(nexus: ModuleType) -> Any:
    """`vars()` and `__file__` of the modules"""
    module = nexus.deployment
    return ["deploy_as_api" in vars(module), hasattr(module, "__file__")]
