"""Ours, for ``nexus serve`` and ``nexus mcp``.

The variable BENCH_AGENTS says how many agents there are that answer at once; without it there is
one of each kind. BENCH_GUARDED makes the app ask for a key and limit the rate.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Literal

from kaizen_nexus import Nexus, deploy_multi_channel

Style = Literal["short", "long"]


@dataclass
class Answer:
    """What is answered."""

    answer: str
    times: int


@dataclass
class Documents:
    """A long answer."""

    answer: str
    documents: list[str]


async def answer(query: str, times: int = 1, style: Style = "short") -> Answer:
    """Answer at once, so that what is measured is the platform."""
    return Answer(f"{query} ({style})", times)


async def sleeping(query: str, times: int = 1, style: Style = "short") -> Answer:
    """Answer after a millisecond."""
    await asyncio.sleep(0.001)
    return Answer(f"{query} ({style})", times)


def blocking(query: str, times: int = 1, style: Style = "short") -> Answer:
    """Answer at once, but not on the event loop."""
    return Answer(f"{query} ({style})", times)


async def reading(query: str, documents: list[str]) -> Answer:
    """Read a megabyte."""
    return Answer(f"{query} (long)", len(documents))


PAGES = ["a page of a document. " * 45] * 1_000


async def writing(query: str) -> Documents:
    """Write a megabyte."""
    return Documents(f"{query} (long)", PAGES)


KINDS = {
    "answer_0": answer,
    "sleeping": sleeping,
    "blocking": blocking,
    "reading": reading,
    "writing": writing,
}
guards: dict[str, Any] = {}
if os.environ.get("BENCH_GUARDED"):
    guards = {"enable_auth": True, "rate_limit": 99_999_999}
app = Nexus(**guards)
agents = KINDS
if "BENCH_AGENTS" in os.environ:
    agents = {f"answer_{number}": answer for number in range(int(os.environ["BENCH_AGENTS"]))}
for name, agent in agents.items():
    deploy_multi_channel(agent, app, name)
