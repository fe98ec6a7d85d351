"""The agent that both packages deploy: Kaizen's, with a signature and a configuration.

Importing this needs Kaizen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kaizen.core.base_agent import BaseAgent
from kaizen.signatures import InputField, OutputField, Signature

__all__ = ["make_agent"]


class Answering(Signature):
    """Answer a question from the documents."""

    question: str = InputField(description="What to look for")
    depth: int = InputField(description="How far to look", default=1)
    response: str = OutputField(description="The answer")


@dataclass(frozen=True)
class Config:
    """What shapes the agent; Kaizen adds settings of its own."""

    llm_provider: str = "mock"
    model: str = "mock-model"
    temperature: float = 0.7
    max_tokens: int = 1_000


def make_agent() -> Any:
    """Return the agent."""
    # Without a list of servers, the first run would start a process for Kaizen's own tools.
    return BaseAgent(config=Config(), signature=Answering(), mcp_servers=[])
