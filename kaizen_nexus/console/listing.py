"""``nexus list``: what a server has deployed."""

from __future__ import annotations

import json
from typing import Any

import click

from kaizen_nexus.channels.cli.transport import KEPT_OUT, RefusedError, UnreachableError, request

__all__ = ["fetch_workflows", "format_table"]

PATH = "/api/workflows"
OK = 200
MIN_SUMMARY = 20
"""How much of a description is shown, in characters, even where it has to wrap."""
_Workflow = dict[str, Any]


def fetch_workflows(url: str, timeout: float) -> list[_Workflow]:
    """Return the server's description of each workflow.

    Parameters
    ----------
    url
        The server.
    timeout
        Seconds to wait.

    Raises
    ------
    BadUrlError
        The URL cannot be used.
    RefusedError
        The server does not let the caller in.
    UnreachableError
        There is no server, or one that is not kaizen-nexus.
    """
    reply = request("GET", url, PATH, timeout=timeout)
    if reply.status in KEPT_OUT:
        raise RefusedError(reply.status, reply.body)
    if reply.status != OK:
        raise UnreachableError(f"it answered with HTTP status {reply.status}")
    try:
        workflows = json.loads(reply.body)["workflows"]
        return [
            {**w, "name": str(w["name"]), "channels": [str(c) for c in w["channels"]]}
            for w in workflows
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnreachableError("what answers there is another program") from None


def format_table(workflows: list[_Workflow], width: int) -> str:
    """Return one line for each workflow: name, channels, and the description's first line."""
    names = max((len(w["name"]) for w in workflows), default=0)
    channels = max((len(", ".join(w["channels"])) for w in workflows), default=0)
    lines = []
    for workflow in workflows:
        name = workflow["name"]
        rest = f"{'':{names - len(name)}}  {', '.join(workflow['channels']):{channels}}  "
        summary = str(workflow.get("description") or "").strip().partition("\n")[0]
        room = max(width - len(name) - len(rest), MIN_SUMMARY)
        if len(summary) > room:
            summary = f"{summary[: room - 3]}..."
        lines.append(f"{click.style(name, bold=True)}{rest}{summary}".rstrip())
    return "\n".join(lines)
