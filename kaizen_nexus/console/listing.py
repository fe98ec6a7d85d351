"""``nexus list``: what a server has deployed."""

from __future__ import annotations

import shutil
from typing import Any

import click

from kaizen_nexus.console.asking import fetch, print_json
from kaizen_nexus.console.options import server_options

__all__ = ["list_workflows"]

PATH = "/api/workflows"
MIN_SUMMARY = 20
"""How many characters of a description are shown, even where the line then wraps."""


@click.command("list", short_help="List what is deployed.")
@server_options
def list_workflows(url: str, output: str, timeout: float) -> None:
    """List what a running server has deployed, with the channels that it answers on."""
    workflows = fetch(url, PATH, timeout, "workflows")["workflows"]
    if output == "json":
        print_json({"workflows": workflows})
    elif workflows:
        click.echo(_table(workflows, shutil.get_terminal_size().columns))
    else:
        click.echo("No workflow is deployed.", err=True)


def _table(workflows: list[dict[str, Any]], width: int) -> str:
    """Return one line for each workflow: name, channels, and the description's first line."""
    names = max(len(w["name"]) for w in workflows)
    channels = max(len(", ".join(w["channels"])) for w in workflows)
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
