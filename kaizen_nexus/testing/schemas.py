"""Whether every channel publishes the schema that ``GET /api/workflows/{name}`` does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kaizen_nexus.channels.cli.command import HelpRequested, WorkflowCommand
from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.answers import MISSING, clipped, first_difference, shown
from kaizen_nexus.testing.cli import CliProbe
from kaizen_nexus.testing.http import Deployed, Site
from kaizen_nexus.testing.mcp import session_argument
from kaizen_nexus.testing.report import APP, Report
from kaizen_nexus.testing.serving import COLUMNS

__all__ = ["compare_help", "compare_openapi", "compare_tool", "compare_tool_names", "fetch_openapi"]

OPENAPI = "/openapi.json"
PUBLISHED = "http"
_JSON = "application/json"
_OPTION = re.compile(r"(--\S+(?: / --\S+)?)\s*(.*)")
_COMPONENT = "#/components/schemas/"
Tool = Mapping[str, Any]


def fetch_openapi(site: Site) -> Any:
    """Return the OpenAPI document, or None if there is none."""
    try:
        return site.get(OPENAPI)
    except UnreachableError:
        return None


def compare_openapi(report: Report, workflow: Deployed, document: Any) -> None:
    """Compare the OpenAPI description of running `workflow`."""
    case = f"GET {OPENAPI}"
    try:
        operation = document["paths"][workflow.execute]["post"]
        inputs = operation["requestBody"]["content"][_JSON]["schema"]
        envelope = operation["responses"]["200"]["content"][_JSON]["schema"]
        result = envelope["properties"]["result"]
    except (KeyError, TypeError):
        found = {PUBLISHED: f"does not describe POST {workflow.execute}"}
        report.differ(workflow.name, "schema", case, found)
        return
    published = {
        "inputs": (workflow.input_schema, _local(inputs, document, workflow.name)),
        "result": (workflow.output_schema, _local(result, document, workflow.name)),
    }
    for what, (expected, schema) in published.items():
        _compare(report, workflow.name, f"{what} in {case}", expected, ("openapi", schema))


def compare_tool_names(
    report: Report, expected: set[str], channel: str, tools: Mapping[str, Tool]
) -> None:
    """Compare which tools are listed with what is deployed on the MCP channel."""
    report.compared(APP, "schema")
    unexpected = sorted(set(tools) - expected)
    if unexpected:
        found = {channel: f"lists {', '.join(unexpected)}", PUBLISHED: "not deployed there"}
        report.differ(APP, "schema", "tools/list", found)


def compare_tool(
    report: Report, workflow: Deployed, channel: str, tools: Mapping[str, Tool]
) -> None:
    """Compare the tool that `workflow` is."""
    tool = tools.get(workflow.name)
    if tool is None:
        found = {channel: "does not list it", PUBLISHED: "deployed there"}
        report.differ(workflow.name, "schema", "tools/list", found)
        return
    inputs = dict(tool.get("inputSchema") or {})
    argument = session_argument(workflow.input_schema)
    properties = dict(inputs.get("properties") or {})
    if properties.pop(argument, None) is None:
        found = {channel: f"has no argument {argument!r}"}
        report.differ(workflow.name, "schema", "session argument", found)
    inputs["properties"] = properties
    _compare(report, workflow.name, "inputs", workflow.input_schema, (channel, inputs))
    output = tool.get("outputSchema") or {}
    result = dict(output.get("properties", {}).get("result", {}))
    if "$defs" in output:
        result["$defs"] = output["$defs"]
    _compare(report, workflow.name, "result", workflow.output_schema, (channel, result))


def compare_help(report: Report, workflow: Deployed, cli: CliProbe) -> None:
    """Compare the options that ``nexus run NAME --help`` shows."""
    done = cli.execute(workflow.name, "--help")
    report.compared(workflow.name, "schema")
    if done.returncode:
        found = {cli.name: clipped(f"exit code {done.returncode}: {done.stderr}")}
        report.differ(workflow.name, "schema", "--help", found)
        return
    command = WorkflowCommand(workflow.name, "", workflow.input_schema)
    try:
        command.read(["--help"], COLUMNS)
    except HelpRequested as asked:
        expected = _options_in(asked.text)
    options = _options_in(done.stdout)
    for option in [*expected, *(each for each in options if each not in expected)]:
        wanted, got = expected.get(option, MISSING), options.get(option, MISSING)
        if wanted != got:
            found = {PUBLISHED: f"{option} {wanted}", cli.name: f"{option} {got}"}
            report.differ(workflow.name, "schema", "--help", found)


def _compare(
    report: Report, name: str, case: str, expected: Any, published: tuple[str, Any]
) -> None:
    channel, schema = published
    report.compared(name, "schema")
    place = first_difference(expected, schema)
    if place is not None:
        pointer, wanted, got = place
        at = f"at {pointer}: " if pointer else ""
        found = {PUBLISHED: at + shown(wanted), channel: at + shown(got)}
        report.differ(name, "schema", case, found)


def _options_in(text: str) -> dict[str, str]:
    """Return what a help text says of each input, by option."""
    section = text.partition("Inputs:\n")[2].partition("\n\n")[0]
    # A long description goes on in the next line, further to the right.
    records = re.split(r"\n  (?=--)", f"\n{section}")[1:]
    found = (_OPTION.fullmatch(" ".join(record.split())) for record in records)
    return {match[1]: match[2] for match in found if match is not None}


def _local(schema: Any, document: Any, name: str) -> Any:
    """Return `schema` on its own: with the components that it refers to as its definitions."""
    components = document.get("components", {}).get("schemas", {})
    prefix = f"{_COMPONENT}{name}."
    definitions: dict[str, Any] = {}

    def rewrite(node: Any) -> Any:
        if isinstance(node, list):
            return [rewrite(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(prefix):
            definition = reference.removeprefix(prefix)
            if definition not in definitions:
                # Before its content, which may refer to itself.
                definitions[definition] = MISSING
                content = components.get(reference.removeprefix(_COMPONENT), {})
                definitions[definition] = rewrite(content)
            return {**node, "$ref": f"#/$defs/{definition}"}
        return {key: rewrite(value) for key, value in node.items()}

    reference = schema.get("$ref") if isinstance(schema, dict) else None
    root = schema
    if isinstance(reference, str) and reference.startswith(_COMPONENT):
        root = components.get(reference.removeprefix(_COMPONENT), {})
    rewritten = rewrite(root)
    return {**rewritten, "$defs": definitions} if definitions else rewritten
