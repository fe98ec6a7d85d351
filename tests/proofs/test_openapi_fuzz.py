"""The server does what its OpenAPI description says, whatever it is sent."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel, deploy_with_sessions


@dataclass
class Filter:
    field: str
    values: list[str]
    weight: float = 1.0


def search(
    query: Annotated[str, "What to look for"],
    depth: int = 1,
    filters: list[Filter] | None = None,
    style: Literal["short", "long"] = "short",
) -> dict[str, Any]:
    return {"query": query, "depth": depth, "fields": [each.field for each in filters or ()]}


async def add(numbers: list[float], named: dict[str, int] | None = None) -> float:
    return float(len(numbers) + len(named or {}))


def remember(fact: str, session: CrossChannelSession | None = None) -> list[str]:
    known = [] if session is None else session.get_state().get("facts")
    facts = [*(known if isinstance(known, list) else []), fact][-10:]
    if session is not None:
        session.update_state({"facts": facts})
    return [str(each) for each in facts]


def nothing() -> None:
    return None


async def count(start: int = 0) -> AsyncIterator[int]:
    for number in range(3):
        yield number


app = Nexus()
for agent in (search, add, nothing, count):
    deploy_multi_channel(agent, app, agent.__name__)
deploy_with_sessions(remember, app, "remember")
"""
SHORT, LONG = 2, 100
"""Requests that are drawn at random for each operation, besides the systematic ones."""


def test_no_request_makes_the_server_fail_or_answer_what_is_not_documented(
    serve: Callable[..., Server], full: bool, tmp_path: Path
) -> None:
    pytest.importorskip("schemathesis")
    server = serve(SERVICE)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["run", f"{server.url}/openapi.json", "--checks", "all", "--no-color"]
    command += ["--phases", "coverage,fuzzing,stateful", "--continue-on-failure", "--no-shrink"]
    # A session that was created is not found if it has expired, or been given another id.
    command += ["--exclude-checks", "ensure_resource_availability"]
    command += ["--max-examples", str(LONG if full else SHORT), "--suppress-health-check", "all"]
    if not full:
        command += ["--seed", "1"]
    completed = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "SCHEMATHESIS_HOOKS": "openapi_hooks",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=1_000 if full else 100,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert " passed" in completed.stdout
    with urllib.request.urlopen(f"{server.url}/health/ready", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    assert "Traceback" not in "".join(server.log)
