"""The assistant without Kaizen: it answers with the fact that shares most words with a question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from kaizen_nexus import BaseAgent

__all__ = ["make_assistant"]

FACTS = (
    "A session expires when nobody has used it for its TTL.",
    "A deployment is cached until the configuration of its agent changes.",
    "A request is answered over HTTP, on the command line and over MCP alike.",
)


@dataclass(frozen=True)
class AssistantConfig:
    """What shapes the assistant; all of it enters the deployment cache's key."""

    model: str = "words in common"
    temperature: float = 0.2


@dataclass(frozen=True)
class Answer:
    """What the assistant returns."""

    response: str


class Assistant(BaseAgent):
    """Answer a question about the platform."""

    def process(self, question: Annotated[str, "What you want to know"]) -> Answer:
        """Return the fact that fits."""
        asked = words(question)
        return Answer(max(FACTS, key=lambda fact: len(asked & words(fact))))


def words(text: str) -> set[str]:
    """Return the words of a text, however they are written."""
    return set(re.findall(r"\w+", text.lower()))


def make_assistant(temperature: float = 0.2) -> object:
    """Return an agent that takes a ``question`` and gives a ``response``."""
    return Assistant(AssistantConfig(temperature=temperature))
