"""What the server says that it has deployed."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kaizen_nexus.testing.http_probe import OK, HttpClient, NoAnswerError
from kaizen_nexus.testing.server import CannotCheckError

__all__ = ["Deployed", "chosen_of", "fetch_deployed", "wait_for_discovery"]

INDEX = "/api/workflows"
DISCOVERY_TIMEOUT = 30.0
"""Seconds."""
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Deployed:
    """One workflow, as ``GET /api/workflows/{name}`` describes it."""

    name: str
    channels: frozenset[str]
    execute: str | None
    """The path that runs it, if it is on the HTTP channel."""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


async def wait_for_discovery(http: HttpClient) -> None:
    """Return once the app has deployed what it finds by itself, or after half a minute."""
    for _ in range(round(DISCOVERY_TIMEOUT / POLL_SECONDS)):
        report = (await http.request("GET", "/health/ready")).json()
        discovery = report.get("discovery") if isinstance(report, dict) else None
        if not isinstance(discovery, dict) or discovery.get("done"):
            return
        await asyncio.sleep(POLL_SECONDS)


async def fetch_deployed(http: HttpClient) -> list[Deployed]:
    """Return what is deployed, in order of first deployment.

    Raises
    ------
    CannotCheckError
        Nothing is, or the server does not answer as a Nexus does.
    """
    try:
        await wait_for_discovery(http)
        index = await _get(http, INDEX)
        names = [str(workflow["name"]) for workflow in index["workflows"]]
        found = [_deployed(await _get(http, f"{INDEX}/{quote(name)}")) for name in names]
    except NoAnswerError as error:
        raise CannotCheckError(f"the server does not answer: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise CannotCheckError(
            f"GET {INDEX} does not answer as a Nexus does ({type(error).__name__}: {error}): "
            "serve the Nexus itself, or an application that passes its routes on"
        ) from None
    if not found:
        raise CannotCheckError(
            "no workflow is deployed, so there is nothing to compare: call "
            "deploy_multi_channel(agent, app, name)"
        )
    return found


def chosen_of(deployed: list[Deployed], names: Collection[str], why: str) -> list[Deployed]:
    """Return those of `deployed` that `names` names.

    Raises
    ------
    CannotCheckError
        One of them is not deployed.
    """
    known = [workflow.name for workflow in deployed]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
            hint = hint or f"these are: {', '.join(known)}"
            raise CannotCheckError(f"{why}: no workflow named {name!r} is deployed; {hint}")
    return [workflow for workflow in deployed if workflow.name in names]


async def _get(http: HttpClient, path: str) -> dict[str, Any]:
    reply = await http.request("GET", path)
    answer = reply.json()
    if reply.status != OK or not isinstance(answer, dict):
        raise ValueError(f"{path} was answered {reply.status}")
    return answer


def _deployed(description: dict[str, Any]) -> Deployed:
    schemas = (description["input_schema"], description["output_schema"])
    if not all(isinstance(schema, dict) for schema in schemas):
        raise TypeError("a schema is not an object")
    return Deployed(
        name=str(description["name"]),
        channels=frozenset(map(str, description["channels"])),
        execute=description["execute"],
        input_schema=schemas[0],
        output_schema=schemas[1],
    )
