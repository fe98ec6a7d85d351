"""The agent that is deployed, and whether its answer is the right one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bench.guide.figures import expect
from kaizen_nexus import BaseAgent

__all__ = ["Assistant", "Config", "check", "smallest"]


@dataclass(frozen=True)
class Config:
    """A configuration like those the guide shows."""

    model: str = "gpt-4"
    temperature: float = 0.7
    max_tokens: int = 1_000


@dataclass(frozen=True)
class Filter:
    """What to restrict an answer to."""

    field: str
    values: list[str]


@dataclass(frozen=True)
class Answer:
    """What the assistant returns."""

    answer: str
    sources: list[str]
    confidence: float


class Assistant(BaseAgent):
    """Answers at once, so that what is measured is the platform."""

    def process(
        self,
        query: Annotated[str, "What to look for"],
        depth: int = 1,
        filters: list[Filter] | None = None,
        style: Literal["short", "long"] = "short",
    ) -> Answer:
        """Return the query."""
        return Answer(f"{query} ({depth})", [], 1.0)


def smallest(query: str) -> str:
    """Return the query: the agent that is built fastest, and gains least from the cache."""
    return query


def check(result: object) -> None:
    """Raise unless the assistant gave the right answer."""
    expect(result, {"answer": "x (1)", "sources": [], "confidence": 1.0})
