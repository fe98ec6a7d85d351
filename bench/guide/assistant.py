"""The agent that is deployed, whether its answer is the right one, and how fast it has to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bench.comparing import duration, spread
from bench.core.contenders import expect
from bench.report import Row
from bench.timing import Sample
from kaizen_nexus import BaseAgent

__all__ = ["Assistant", "Config", "check", "smallest", "within"]


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
    expected = {"answer": "x (1)", "sources": [], "confidence": 1.0}
    expect("the assistant", "a request", result, expected)


def within(name: str, sample: Sample, seconds: float, remark: str = "") -> Row:
    """Return a row that is met if the median takes less than so many seconds."""
    figure = spread(sample) + (f", {remark}" if remark else "")
    return Row(name, figure, f"under {duration(seconds)}", sample.median < seconds)
