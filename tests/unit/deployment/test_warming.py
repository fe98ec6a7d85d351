"""What an agent does before it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_as_api, deploy_multi_channel
from kaizen_nexus.runtime.invocation import Invocation


class Warm:
    def __init__(self, app: Nexus, error: BaseException | None = None) -> None:
        self.app = app
        self.error = error
        self.deployed_by_then: list[Any] = []

    def run(self) -> list[Any]:
        return self.deployed_by_then

    def _get_ready(self) -> None:
        self.deployed_by_then.append(self.app.runtime.registry.names())
        if self.error is not None:
            raise self.error


class Sync(Warm):
    def warm_up(self) -> None:
        self._get_ready()


class Async(Warm):
    async def warmup(self) -> None:
        await asyncio.sleep(0)
        self._get_ready()


class Anything:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("warm"):
            raise LookupError(name)
        raise AttributeError(name)

    def run(self) -> str:
        return "done"


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus()
    yield app
    app.close()


@pytest.mark.parametrize("kind", [Sync, Async])
def test_an_agent_gets_ready_before_it_is_deployed(app: Nexus, kind: type[Warm]) -> None:
    agent = kind(app)
    deploy_as_api(agent, app, "faq")
    assert agent.deployed_by_then == [[]]
    app.register("faq", agent)
    assert agent.deployed_by_then == [[], ["faq"]]


@pytest.mark.parametrize("kind", [Sync, Async])
@pytest.mark.parametrize("error", [LookupError("no model"), KeyboardInterrupt()])
def test_one_that_does_not_get_ready_leaves_the_former_answering(
    app: Nexus, kind: type[Warm], error: BaseException
) -> None:
    deploy_multi_channel(lambda: "former", app, "faq")
    with pytest.raises(type(error)):
        deploy_multi_channel(kind(app, error), app, "faq")
    result = asyncio.run(
        app.runtime.execute(Invocation(app.runtime.registry.find("faq", "api"), "api"))
    )
    assert (result.body, result.version) == (b'"former"', 1)


def test_an_asynchronous_one_gets_ready_while_the_event_loop_deploys(app: Nexus) -> None:
    async def deploy() -> None:
        deploy_as_api(Async(app), app, "faq")

    asyncio.run(deploy())
    assert app.runtime.registry.names() == ["faq"]


def test_only_a_method_of_the_class_is_called(app: Nexus) -> None:
    deploy_as_api(Anything(), app, "faq")
    assert app.runtime.registry.names() == ["faq"]
