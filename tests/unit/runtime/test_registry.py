"""Versions: what is kept, what comes back, and what is let go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_as_api, deploy_as_cli, deploy_multi_channel
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.errors import VersionNotKeptError, WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.registry import Registry


class Agent:
    """Says which one it is, when it may."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def run(self, wait: bool = False) -> str:
        self.entered.set()
        if wait:
            await self.opened.wait()
        return self.label


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus()
    yield app
    app.close()


def ask(app: Nexus, channel: str = "api") -> str:
    result = asyncio.run(
        app.runtime.execute(Invocation(app.runtime.registry.find("faq", channel), channel))
    )
    return f"{result.body.decode()} {result.version}"


def deploy(app: Nexus, *labels: str, keep: int = 1) -> None:
    for label in labels:
        deploy_multi_channel(Agent(label), app, "faq", keep=keep)


def kept(app: Nexus) -> list[int]:
    return [state.version for state in app.runtime.registry.history_of("faq").kept]


def test_the_former_version_comes_back_under_its_number_and_goes_again(app: Nexus) -> None:
    deploy(app, "a", "b")
    assert app.rollback("faq") == 1
    assert {ask(app, channel) for channel in ("api", "cli", "mcp")} == {'"a" 1'}
    assert app.rollback("faq") == 2
    assert ask(app) == '"b" 2'
    deploy(app, "c")
    assert (ask(app), kept(app)) == ('"c" 3', [2])


@pytest.mark.parametrize(("keep", "versions"), [(0, []), (1, [3]), (2, [2, 3]), (16, [1, 2, 3])])
def test_so_many_versions_are_kept_as_was_asked(app: Nexus, keep: int, versions: list[int]) -> None:
    deploy(app, "a", "b", "c", "d", keep=keep)
    assert kept(app) == versions
    for version in versions:
        assert app.rollback("faq", to=version) == version
        assert ask(app) == f'"{"abcd"[version - 1]}" {version}'
    assert len(kept(app)) == len(versions)


def test_what_is_not_kept_does_not_come_back(app: Nexus) -> None:
    with pytest.raises(WorkflowNotFoundError):
        app.rollback("faq")
    deploy(app, "a")
    with pytest.raises(VersionNotKeptError, match=r"^no former version of 'faq' is kept: .* keep "):
        app.rollback("faq")
    deploy(app, "b", "c")
    with pytest.raises(VersionNotKeptError, match=r"version 1 of 'faq' is not kept \(kept: 2\): "):
        app.rollback("faq", to=1)
    assert app.rollback("faq", to=3) == 3
    assert (ask(app), kept(app)) == ('"c" 3', [2])
    app.deregister("faq")
    with pytest.raises(WorkflowNotFoundError):
        app.rollback("faq")


def test_a_name_comes_back_on_the_channels_that_it_had(app: Nexus) -> None:
    deploy_as_api(Agent("a"), app, "faq")
    deploy_as_cli(Agent("b"), app, "faq")
    assert app.rollback("faq") == 1
    assert list(app.runtime.registry.channels_of("faq")) == ["api"]
    assert app.rollback("faq") == 2
    assert (ask(app), ask(app, "cli")) == ('"a" 1', '"b" 2')


@pytest.mark.parametrize("keep", [-1, 17, 1.0, True])
def test_how_many_are_kept_is_bounded(app: Nexus, keep: Any) -> None:
    with pytest.raises(ValueError, match="keep must be a whole number from 0 to 16"):
        deploy(app, "a", keep=keep)
    assert app.runtime.registry.names() == []


def test_a_name_may_stand_for_what_is_deployed_elsewhere(app: Nexus) -> None:
    deploy(app, "a", "b")
    with contextlib.closing(Nexus()) as other:
        deploy_as_api(Agent("c"), other, "faq")
        deploy_as_cli(Agent("d"), other, "faq")
        channels = other.runtime.registry.channels_of("faq")
        app.runtime.registry.replace("faq", channels)
    assert (ask(app), ask(app, "cli"), kept(app)) == ('"c" 3', '"d" 3', [])
    assert sorted(app.runtime.registry.channels_of("faq")) == ["api", "cli"]
    assert channels["cli"].version == 2


def test_since_when_a_version_answers_is_known() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    registry = Registry(clock=lambda: now)

    def since(label: str) -> datetime:
        workflow = as_workflow(Agent(label), "faq")
        registry.deploy(workflow, ("api",), prefix="/api/workflows", sessions=False, keep=1)
        return registry.history_of("faq").current.since

    assert since("a") == now
    now += timedelta(hours=1)
    assert since("b") == now
    now += timedelta(hours=1)
    registry.rollback("faq")
    assert registry.history_of("faq").current.since == now


def test_a_run_finishes_on_its_version_which_is_then_let_go(app: Nexus) -> None:
    agents = [Agent("old"), Agent("new")]
    old = weakref.ref(agents[0])
    meters, find = app.runtime.registry.meters, app.runtime.registry.find

    async def conversation() -> None:
        deploy_multi_channel(agents[0], app, "faq")
        running = asyncio.ensure_future(
            app.runtime.execute(Invocation(find("faq", "api"), "api", {"wait": True}))
        )
        await agents[0].entered.wait()
        deploy_multi_channel(agents[1], app, "faq", keep=0)
        assert meters.in_flight("faq") == {1: 1, 2: 0}
        result = await app.runtime.execute(Invocation(find("faq", "api"), "api"))
        assert (result.body, result.version) == (b'"new"', 2)
        agents[0].opened.set()
        assert ((await running).body, (await running).version) == (b'"old"', 1)
        assert meters.in_flight("faq") == {2: 0}
        del agents[0]

    asyncio.run(conversation())
    gc.collect()
    assert old() is None


def test_a_hundred_redeployments_leave_no_agent_but_the_one_that_is_kept(app: Nexus) -> None:
    seen = []
    for number in range(100):
        agent = Agent(str(number))
        seen.append(weakref.ref(agent))
        deploy_multi_channel(agent, app, "faq")
        del agent
        assert ask(app) == f'"{number}" {number + 1}'
    gc.collect()
    assert [r().label for r in seen if r() is not None] == ["98", "99"]  # type: ignore[union-attr]
    deploy(app, "last", keep=0)
    gc.collect()
    assert [r for r in seen if r() is not None] == []
    assert len(app.runtime.registry.meters.stats()["series"]) == 0
    assert app.runtime.registry.meters.stats()["other"]["count"] == 100


def test_a_finaliser_may_deploy(app: Nexus) -> None:
    class Stubborn(Agent):
        def __del__(self) -> None:
            deploy(app, "after me", keep=0)

    deploy_multi_channel(Stubborn("stubborn"), app, "faq")
    deploy(app, "b", keep=0)
    gc.collect()
    assert ask(app) == '"after me" 3'


def test_observers_are_told_of_every_change_and_of_nothing_else(app: Nexus) -> None:
    seen: list[tuple[list[str], list[str]]] = []
    app.runtime.registry.observe(lambda before, after: seen.append((sorted(before), sorted(after))))
    agent = Agent("a")
    deploy_as_api(agent, app, "faq")
    deploy_as_api(agent, app, "faq")
    deploy_as_cli(agent, app, "faq")
    app.rollback("faq")
    app.deregister("faq")
    app.deregister("faq")
    assert seen == [
        ([], ["api"]),
        (["api"], ["api", "cli"]),
        (["api", "cli"], ["api"]),
        (["api"], []),
    ]


class Indifferent:
    """Is equal to all of its kind, and lets somebody know when it is asked."""

    def __init__(self, label: str, asked: list[str]) -> None:
        self.label = label
        self.asked = asked

    def __call__(self) -> str:
        return self.label

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Indifferent):
            return NotImplemented
        self.asked.append(self.label)
        return True

    __hash__ = object.__hash__


def test_an_agent_is_the_same_if_it_is_that_very_one_whatever_it_says_of_itself(app: Nexus) -> None:
    """Asking it would call its code under a lock."""
    asked: list[str] = []
    first = Indifferent("a", asked)
    for agent in (first, first, Indifferent("b", asked)):
        deploy_multi_channel(agent, app, "faq")
    assert (ask(app), asked) == ('"b" 2', [])
