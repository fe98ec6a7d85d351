"""The assistant as a Kaizen agent. Its provider ``mock`` needs neither a network nor a key."""

from __future__ import annotations

from dataclasses import dataclass

# Every run imports this; it needs what Kaizen's extra `observability` installs.
from kaizen.core.autonomy.hooks.types import HookEvent  # noqa: F401
from kaizen.core.base_agent import BaseAgent
from kaizen.signatures import InputField, OutputField, Signature

__all__ = ["make_assistant"]


class Question(Signature):
    """Answer a question about the platform."""

    question: str = InputField(description="What you want to know")
    response: str = OutputField(description="The answer")


@dataclass(frozen=True)
class AssistantConfig:
    """What shapes the assistant; all of it enters the deployment cache's key."""

    llm_provider: str = "mock"
    model: str = "mock-model"
    temperature: float = 0.2


def make_assistant(temperature: float = 0.2) -> object:
    """Return an agent that takes a ``question`` and gives a ``response``."""
    config = AssistantConfig(temperature=temperature)
    # Without a list of servers, the first run would start a process for Kaizen's own tools.
    return BaseAgent(config=config, signature=Question(), mcp_servers=[])
