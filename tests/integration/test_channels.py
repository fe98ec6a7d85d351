"""One deployment, three channels, one session, at exactly the identifiers that are returned."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from tests.integration.mcp_sdk import connect

PROGRAM = Path(sysconfig.get_path("scripts")) / "nexus"


def over_http(app: Nexus, path: str, inputs: dict[str, Any], session: str | None) -> Any:
    headers = {"X-Session-ID": session} if session else {}
    response = httpx2.post(app.url + path, json=inputs, headers=headers)
    return response.json()


def over_curl(app: Nexus, path: str, inputs: dict[str, Any], session: str | None) -> Any:
    command = ["curl", "-sS", app.url + path, "-d", json.dumps(inputs)]
    if session:
        command += ["-H", f"X-Session-ID: {session}"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def over_cli(app: Nexus, command: str, inputs: dict[str, Any], session: str | None) -> Any:
    """Run the command line as a shell would, with the scripts folder first on its path."""
    words = [command, *(f"--{k} {shlex.quote(str(v))}" for k, v in inputs.items()), "-o json"]
    if session:
        words.append(f"--session {session}")
    path = os.pathsep.join([str(PROGRAM.parent), os.environ["PATH"]])
    completed = subprocess.run(
        ["sh", "-c", " ".join(words)],
        env={**os.environ, "PATH": path, "NEXUS_URL": app.url},
        cwd=Path(sys.prefix),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def over_mcp(app: Nexus, tool: str, inputs: dict[str, Any], session: str | None) -> Any:
    async def call() -> Any:
        arguments = {**inputs, **({"session_id": session} if session else {})}
        async with connect(f"{app.url}/mcp") as client:
            result = await client.call_tool(tool, arguments)
        assert not result["isError"], result["content"]
        return result["structuredContent"]

    return asyncio.run(call())


CHANNELS = {"api": over_http, "cli": over_cli, "mcp": over_mcp}

needs_program = pytest.mark.skipif(
    not PROGRAM.exists(), reason="the package is not installed, so there is no nexus program"
)


@needs_program
def test_every_identifier_answers_alike(app: Nexus) -> None:
    identifiers = deploy_multi_channel(lambda query, times=2: query * times, app, "assistant")
    answers = {
        channel: CHANNELS[channel](app, identifier, {"query": "héllo"}, None)
        for channel, identifier in identifiers.items()
    }
    assert [answer["result"] for answer in answers.values()] == ["héllohéllo"] * 3
    assert [answer["session_id"] for answer in answers.values()] == [None] * 3
    counts = {name: stats["count"] for name, stats in app.metrics.get_summary().items()}
    assert (counts["api"], counts["cli"], counts["mcp"]) == (1, 1, 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reaches_the_path(app: Nexus) -> None:
    path = deploy_multi_channel(lambda query: query, app, "assistant")["api"]
    assert over_curl(app, path, {"query": "x"}, None)["result"] == "x"


@needs_program
@pytest.mark.parametrize("creator", CHANNELS)
def test_a_session_of_one_channel_is_that_of_the_others(app: Nexus, creator: str) -> None:
    identifiers = deploy_multi_channel(_remember, app, "assistant")
    order = [creator, *(channel for channel in CHANNELS if channel != creator)]
    first = CHANNELS[creator](app, identifiers[creator], {"fact": creator}, "new")
    session_id = first["session_id"]
    assert first["result"] == [creator]
    for turn, channel in enumerate(order[1:], start=2):
        answer = CHANNELS[channel](app, identifiers[channel], {"fact": channel}, session_id)
        assert answer["session_id"] == session_id
        assert answer["result"] == order[:turn]
    session = app.session_manager.get_session(session_id)
    assert session is not None
    assert set(session.channel_activity) == set(CHANNELS)
    assert session.get_state() == {"facts": order}


def _remember(fact: str, context: dict[str, Any], session: Any) -> list[str]:
    facts = [*context.get("facts", []), fact]
    session.update_state({"facts": facts})
    return facts
