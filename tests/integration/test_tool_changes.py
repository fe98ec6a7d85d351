"""Clients of MCP are told when an app's tools change, and not when they only run something else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import kaizen_nexus
from kaizen_nexus import Nexus, deploy_as_api, deploy_multi_channel

CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
SERVICE = """\
from kaizen_nexus import Nexus, deploy_as_api, deploy_multi_channel

app = Nexus()

def first(query: str) -> str:
    return query

def second(query: str, times: int = 1) -> str:
    return query * times

def change(step: str) -> str:
    if step == "rollback":
        return str(app.rollback("faq"))
    if step == "deregister":
        return str(app.deregister("faq"))
    if step == "deploy elsewhere":
        return deploy_as_api(second, app, "other")
    return str(deploy_multi_channel({"first": first, "second": second}[step], app, "faq"))

deploy_multi_channel(change, app, "change")
"""
STEPS = {
    "first": True,
    "second": True,
    "second again": False,
    "rollback": True,
    "deploy elsewhere": False,
    "deregister": True,
}


class StdioClient:
    """A client that shook hands with ``nexus mcp``, one message at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0
        info = {"name": "test", "version": "1"}
        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        self.send("initialize", opening)
        assert self.receive()["result"]["capabilities"]["tools"]["listChanged"] is True
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, method: str, params: dict[str, Any]) -> int:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._write(message)
        return self._number

    def receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        message: dict[str, Any] = json.loads(self._process.stdout.readline())
        return message

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[StdioClient]:
    (tmp_path / "service.py").write_text(SERVICE)
    package = str(Path(kaizen_nexus.__file__).resolve().parent.parent)
    with subprocess.Popen(
        [sys.executable, "-m", "kaizen_nexus", "mcp", "service.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        yield StdioClient(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_client_that_shook_hands_is_told_of_each_change_over_stdio(client: StdioClient) -> None:
    for step, told in STEPS.items():
        arguments = {"step": step.removesuffix(" again")}
        number = client.send("tools/call", {"name": "change", "arguments": arguments})
        # The notice and the answer are written by tasks of their own.
        messages = [client.receive() for _ in range(1 + told)]
        assert (CHANGED in messages) is told, step
        (answer,) = (message for message in messages if message != CHANGED)
        assert (answer["id"], answer["result"]["isError"]) == (number, False), answer
        number = client.send("tools/list", {})
        assert client.receive()["id"] == number


@pytest.mark.usefixtures("modern")
def test_a_subscriber_is_told_of_each_change_over_http(app: Nexus) -> None:
    from mcp import Client
    from mcp.client.subscriptions import ToolsListChanged

    def first(query: str) -> str:
        return query

    def second(query: str, times: int = 1) -> str:
        return query * times

    steps = [
        lambda: deploy_multi_channel(first, app, "faq"),
        lambda: deploy_multi_channel(second, app, "faq"),
        lambda: app.rollback("faq"),
        lambda: deploy_as_api(second, app, "other"),
        lambda: app.deregister("faq"),
    ]
    names = [["faq"], ["faq"], ["faq"], [], []]

    async def follow() -> None:
        async with (
            Client(f"{app.url}/mcp") as client,
            client.listen(tools_list_changed=True) as subscription,
        ):
            for step, expected in zip(steps, names, strict=True):
                step()
                if expected or step is steps[-1]:
                    with anyio.fail_after(20):
                        assert isinstance(await anext(subscription), ToolsListChanged)
                    tools = [tool.name for tool in (await client.list_tools()).tools]
                    assert [name for name in tools if name == "faq"] == expected

    anyio.run(follow)
