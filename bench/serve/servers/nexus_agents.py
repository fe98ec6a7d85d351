"""Ours, for ``nexus serve`` and ``nexus mcp``; the variable BENCH_AGENTS says how many agents."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from kaizen_nexus import Nexus, deploy_multi_channel


@dataclass
class Answer:
    """What is answered."""

    answer: str
    times: int


async def answer(query: str, times: int = 1, style: Literal["short", "long"] = "short") -> Answer:
    """Answer at once, so that what is measured is the platform."""
    return Answer(f"{query} ({style})", times)


app = Nexus()
for number in range(int(os.environ.get("BENCH_AGENTS", "1"))):
    deploy_multi_channel(answer, app, f"answer_{number}")
