"""Deploying a Kaizen agent: our functions and the original's, each on its own app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType
from typing import Any

import kaizen_nexus
from bench.comparing import Target
from bench.core.contenders import ORIGINAL, Call, WrongAnswerError, expect
from bench.core.operations import Operation, measured
from bench.core.scale import Scale
from bench.kaizen.operations import NAME, OURS
from bench.report import Section

__all__ = ["Platform", "deployment"]

CHANNELS = {"api": f"/api/workflows/{NAME}/execute", "cli": f"nexus run {NAME}", "mcp": NAME}
"""What deploying returns, in either package."""


def deployment(
    package: ModuleType, agent: Any, scale: Scale, say: Callable[[str], None]
) -> Section:
    """Deploy an agent on three channels, on either app, for the first time and from the cache."""
    platforms = make_platforms(package)
    try:
        for name, platform in platforms.items():
            say(f"checking {name}")
            platform.check(name, agent)
        return measured("Deployment", deployments(platforms, agent), scale, say)
    finally:
        for platform in platforms.values():
            platform.app.close()


def deployments(platforms: dict[str, Platform], agent: Any) -> Iterator[Operation]:
    """Yield the deployment of an agent that is in the cache, and that of one that is not."""
    yield Operation(
        "deploy a Kaizen agent on three channels, from the cache",
        {name: platform.again(agent).run() for name, platform in platforms.items()},
        targets=[Target(ORIGINAL, 20)],
        subject=OURS,
    )
    yield Operation(
        "deploy a Kaizen agent on three channels, the cache empty",
        {name: platform.anew(agent).run() for name, platform in platforms.items()},
        subject=OURS,
    )


@dataclass(frozen=True)
class Platform:
    """An app, what deploys on it, and how it is asked afterwards."""

    functions: Any
    """Has ``deploy_multi_channel`` and its cache, of one package or the other."""
    app: Any
    asgi: Any
    path: str
    """Where the app answers once the agent is deployed."""
    inputs: Callable[[str], dict[str, object]]
    """Makes the body of a request of a question."""
    answered: Callable[[Any], object]
    """Finds, in what the app answers, what shows that the agent's model was asked."""
    cached_as: str | None = None
    """The name for which a deployment leaves an entry in the cache, where it can be told."""

    def again(self, agent: Any) -> Call:
        """Deploy an agent that has been deployed before."""
        names = {"deploy": self.functions.deploy_multi_channel, "agent": agent, "app": self.app}
        return Call("deploy(agent, app, 'assistant')", names)

    def anew(self, agent: Any) -> Call:
        """Deploy an agent after emptying the cache."""
        again = self.again(agent)
        names = {**again.names, "clear": self.functions.clear_deployment_cache}
        return Call(f"clear()\n{again.code}", names)

    def check(self, name: str, agent: Any) -> None:
        """Raise unless the agent is deployed, cached, deployed again, and answers both times.

        Raises
        ------
        WrongAnswerError
            It is or does not.
        """
        deploy = self.again(agent).function()
        # Two questions, because the original's app keeps the answer to one.
        for question in ("What is a session?", "What is a TTL?"):
            expect(name, "deploying", deploy(), CHANNELS)
            status, answer = asyncio.run(self._ask(question))
            expect(name, f"a request to {self.path}", status, HTTPStatus.OK)
            if not self.answered(answer):
                raise WrongAnswerError(f"{name}: {self.path} answers {answer!r:.200}")
            if self.cached_as is not None:
                cache = self.functions.get_deployment_cache()
                if cache.get(cache.create_cache_key(agent, self.cached_as)) is None:
                    raise WrongAnswerError(f"{name}: what was deployed is not in the cache")

    async def _ask(self, question: str) -> tuple[int, Any]:
        """Send a request to the app, without a socket."""
        import httpx

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.asgi), base_url="http://localhost"
        ) as client:
            answer = await client.post(self.path, json=self.inputs(question))
        return answer.status_code, answer.json()


def make_platforms(package: ModuleType) -> dict[str, Platform]:
    """Return our functions on our app, and the original's on its own."""
    from nexus import Nexus

    ours, theirs = kaizen_nexus.Nexus(), Nexus(auto_discovery=False)
    return {
        OURS: Platform(
            kaizen_nexus,
            ours,
            ours,
            CHANNELS["api"],
            lambda question: {"question": question},
            lambda answer: answer["result"]["response"],
            NAME,
        ),
        ORIGINAL: Platform(
            package,
            theirs,
            theirs.fastapi_app,
            # Not the path that deploying returns, which does not exist there.
            f"/workflows/{NAME}_api/execute",
            lambda question: {"inputs": {"question": question}},
            lambda answer: answer["outputs"]["agent"]["success"],
            f"{NAME}_api",
        ),
    }
