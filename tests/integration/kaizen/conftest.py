"""Real Kaizen agents on a real server; without Kaizen, all of this is skipped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from kaizen_nexus import Nexus, clear_deployment_cache

with warnings.catch_warnings():
    # What Kaizen and its dependencies warn of when they are imported is their affair.
    warnings.simplefilter("ignore")
    try:
        import kaizen.core.base_agent  # noqa: F401 - whether it is there decides what is collected

        HAS_KAIZEN = True
    except ImportError:
        HAS_KAIZEN = False
    try:
        from kaizen.core.autonomy.hooks import types  # noqa: F401 - every run of an agent imports it

        CAN_RUN = True
    except ImportError:
        CAN_RUN = False


@pytest.fixture(autouse=True)
def _needs_kaizen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not HAS_KAIZEN:
        pytest.skip("kailash-kaizen is not installed")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEFAULT_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    clear_deployment_cache()
    yield
    clear_deployment_cache()


@pytest.fixture
def runs() -> None:
    """Agents can be run, not only deployed."""
    if not CAN_RUN:
        pytest.skip("Kaizen runs agents only with kailash-kaizen[observability]")


@dataclass(frozen=True)
class Kaizen:
    """What tests make agents of."""

    make: Callable[..., Any]
    """A `BaseAgent` that answers by itself; the arguments are those of its configuration."""
    agent_class: Any
    config_class: Any
    signature: Any
    signature_base: Any
    input: Any
    output: Any


@pytest.fixture
def real() -> Kaizen:
    from kaizen.core.base_agent import BaseAgent, BaseAgentConfig
    from kaizen.signatures import InputField, OutputField, Signature

    class Support(Signature):
        """Answer a customer's question."""

        question: str = InputField(description="What the customer wants to know")
        depth: int = InputField(desc="How thorough to be", default=3)
        topics: list[str] = InputField(desc="What to stay with", required=False)
        answer: str = OutputField(desc="What to tell the customer")
        confidence: float = OutputField(desc="How sure that is, from 0 to 1")

    class Answering:
        """A strategy that needs no model."""

        async def execute(self, agent: Any, inputs: dict[str, Any], **_: Any) -> dict[str, Any]:
            question = inputs["question"]
            if question == "fail":
                raise LookupError("no such customer")
            turns = len(inputs.get("_memory_context", {}).get("turns", ()))
            return {"answer": f"{question} {inputs['depth']} {turns}", "confidence": 1.0}

        async def execute_async(self, agent: Any, inputs: dict[str, Any]) -> dict[str, Any]:
            return await self.execute(agent, inputs)

    def make(*, memory: Any = None, signature: Any = None, **config: Any) -> Any:
        settings = {"llm_provider": "mock", "model": "mock-model", **config}
        return BaseAgent(
            config=BaseAgentConfig(**settings),
            signature=Support() if signature is None else signature,
            strategy=Answering(),
            memory=memory,
            mcp_servers=[],
        )

    return Kaizen(make, BaseAgent, BaseAgentConfig, Support, Signature, InputField, OutputField)


@pytest.fixture
def app() -> Iterator[Nexus]:
    """A running app, on a free port."""
    app = Nexus(auto_discovery=False, api_port=0)
    app.start(blocking=False)
    yield app
    app.close()


@pytest.fixture
def http(app: Nexus) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=app.url, timeout=30) as client:
        yield client
