"""A client of each channel, as a user of the service would write it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

__all__ = ["CLIENTS", "RefusedError"]

TIMEOUT = 60.0

Inputs = dict[str, Any]


class RefusedError(Exception):
    """The service answered, but not with a result."""


def ask_http(url: str, path: str, inputs: Inputs, session_id: str) -> Any:
    """Post the inputs to the path that the deployment returned."""
    headers = {"Content-Type": "application/json", "X-Session-ID": session_id}
    request = Request(url + path, json.dumps(inputs).encode(), headers)  # noqa: S310 - always HTTP
    try:
        with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - as above
            return json.load(response)["result"]
    except HTTPError as error:
        with error:
            raise RefusedError(f"{error.code}, {json.load(error)['detail']}") from None


def ask_cli(url: str, command: str, inputs: Inputs, session_id: str) -> Any:
    """Run the command that the deployment returned, as a process; inputs are its options."""
    options = [word for name, value in inputs.items() for word in (f"--{name}", str(value))]
    completed = subprocess.run(  # noqa: S603 - a command of our own
        [
            # The `nexus` of this Python, wherever it lies.
            *(sys.executable, "-m", "kaizen_nexus", *shlex.split(command)[1:]),
            *options,
            *("--session", session_id, "--output", "json"),
        ],
        env={**os.environ, "NEXUS_URL": url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if completed.returncode:
        message = completed.stderr.partition("Error: ")[2].strip()
        raise RefusedError(f"exit code {completed.returncode}, {message}")
    return json.loads(completed.stdout)["result"]


def ask_mcp(url: str, tool: str, inputs: Inputs, session_id: str) -> Any:
    """Call the tool that the deployment returned, with the protocol's own client."""

    async def call() -> dict[str, Any]:
        async with (
            streamable_http_client(f"{url}/mcp") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            result = await session.call_tool(tool, {**inputs, "session_id": session_id})
            # By the names of the protocol, which are the same in all versions of the client.
            return result.model_dump(by_alias=True)

    result = asyncio.run(asyncio.wait_for(call(), TIMEOUT))
    if result["isError"]:
        raise RefusedError(result["content"][0]["text"])
    return result["structuredContent"]["result"]


CLIENTS: dict[str, Callable[[str, str, Inputs, str], Any]] = {
    "api": ask_http,
    "cli": ask_cli,
    "mcp": ask_mcp,
}
