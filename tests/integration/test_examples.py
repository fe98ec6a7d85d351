"""Every example runs as its reader runs it: as a program, served, and asked on all channels."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

import kaizen_nexus
from kaizen_nexus.console.demo import example_path

TIMEOUT = 60
EXAMPLES = example_path().parent
TOUR = EXAMPLES / "complete_integration"
REMEDY = "pip install 'kailash-kaizen[observability]'"
CLEANED_UP = "Cleaned up: the server is stopped, the cache is empty, 0 sessions are left."


def kaizen_runs() -> bool:
    """Whether Kaizen is installed, with what its agents need to run."""
    if importlib.util.find_spec("kaizen") is None:
        return False
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.grpc") is not None
    except ModuleNotFoundError:
        return False


with_kaizen = pytest.mark.skipif(
    not kaizen_runs(), reason=f"Kaizen's agents cannot run here: {REMEDY}"
)
# Done first in a process, Kaizen is as if it were not installed.
HIDE_KAIZEN = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_others(name, path=None, target=None):
    return None if name.partition(".")[0] in {"kaizen", "nexus"} else find(name, path, target)
PathFinder.find_spec = find_others
"""


@dataclass(frozen=True)
class Served:
    """An app of an example, a workflow of it, and what that should answer."""

    file: str
    workflow: str
    inputs: Mapping[str, Any]
    check: Callable[[Any], object]


DOCUMENTS = Served(
    "docs_assistant.py",
    "assistant",
    {"query": "How do I clear the deployment cache manually?"},
    lambda result: "clear_deployment_cache" in result["answer"] and result["turn"] == 1,
)
DIVISION = Served(
    "complete_integration/service.py",
    "divide",
    {"numerator": 1, "denominator": 4},
    lambda result: result == 0.25,
)
ASSISTANT = Served(
    "complete_integration/service.py",
    "assistant",
    {"question": "When does a session expire?"},
    lambda result: list(result) == ["response"] and result["response"],
)
SUPPORT = Served(
    "kaizen_agent.py",
    "support",
    {"question": "Where is it?", "tone": "brief"},
    lambda result: "Where is it?" in result["response"],
)
OUTLINE = Served(
    "streaming_agent.py",
    "outline",
    {"text": "One. Two words."},
    lambda result: [sentence["words"] for sentence in result] == [1, 2],
)
SERVED = [
    pytest.param(DOCUMENTS, id="docs_assistant"),
    pytest.param(DIVISION, id="service-divide"),
    pytest.param(ASSISTANT, id="service-assistant"),
    pytest.param(OUTLINE, id="streaming_agent"),
    pytest.param(SUPPORT, id="kaizen_agent", marks=with_kaizen),
]


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which the package under test is found, and no server is named."""
    source = str(Path(kaizen_nexus.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    kept = {name: value for name, value in os.environ.items() if name != "NEXUS_URL"}
    return {**kept, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1", **changes}


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Start Python; end it if nobody else has."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def url_in(line: str) -> str:
    """Return the URL that a server announces."""
    found = re.match(r"Serving on (http://[\d.]+:\d+)$", line.strip())
    assert found, line
    return found[1]


def answers(url: str) -> bool:
    """Whether anything listens at `url`."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex((host, int(port))) == 0


def over_mcp(url: str, tool: str, inputs: Mapping[str, Any]) -> Any:
    call = {"name": tool, "arguments": dict(inputs)}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accept = {"Accept": "application/json, text/event-stream"}
    result = httpx2.post(f"{url}/mcp", json=message, headers=accept, timeout=TIMEOUT).json()
    assert result["result"].get("isError", False) is False, result
    return result["result"]["structuredContent"]["result"]


def over_cli(url: str, workflow: str, inputs: Mapping[str, Any], cwd: Path) -> Any:
    options = [word for name, value in inputs.items() for word in (f"--{name}", str(value))]
    command = ("-m", "kaizen_nexus", "run", workflow, *options, "-o", "json")
    completed = run(*command, cwd=cwd, NEXUS_URL=url)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)["result"]


@pytest.mark.parametrize("example", SERVED)
def test_a_served_example_answers_the_same_on_all_channels(example: Served, tmp_path: Path) -> None:
    target = f"{EXAMPLES / example.file}:app"
    with started("-m", "kaizen_nexus", "serve", target, "--port", "0", cwd=tmp_path) as process:
        assert process.stderr is not None
        url = url_in(next(line for line in process.stderr if line.startswith("Serving")))
        path = f"{url}/api/workflows/{example.workflow}"
        schema = httpx2.get(path, timeout=TIMEOUT).json()["input_schema"]
        answer = httpx2.post(f"{path}/execute", json=dict(example.inputs), timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert example.check(result), result
        assert over_cli(url, example.workflow, example.inputs, tmp_path) == result
        assert over_mcp(url, example.workflow, example.inputs) == result
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    assert set(schema["properties"]) >= set(example.inputs)
    assert not answers(url)


def test_no_example_is_left_out() -> None:
    here = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith("__")}
    covered = {str(Path(served.values[0].file).parts[0]) for served in SERVED}
    assert here == covered


def tour(*options: str, cwd: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Take the tour; `before` is done first, in the same process."""
    if not before:
        return run(str(TOUR), *options, cwd=cwd)
    code = f"{before}\nimport runpy\nrunpy.run_path({str(TOUR)!r}, run_name='__main__')"
    return run("-c", code, *options, cwd=cwd)


@pytest.mark.parametrize(
    ("before", "framework"),
    [
        pytest.param("", "Kaizen", marks=with_kaizen, id="with-Kaizen"),
        pytest.param(HIDE_KAIZEN, "kaizen-nexus", id="without-Kaizen"),
    ],
)
def test_the_tour_shows_everything(before: str, framework: str, tmp_path: Path) -> None:
    completed = tour(cwd=tmp_path, before=before)
    assert completed.returncode == 0, completed.stderr
    lines = completed.stdout.splitlines()
    assert lines[0].startswith(f"Agent: {framework}")
    assert lines[-1] == CLEANED_UP
    assert not answers(url_in(lines[1]))
    for heading in ("One question", "One session", "Redeployment", "Errors", "Sessions end"):
        assert any(line.startswith(heading) for line in lines), heading
    refused = [
        line for line in lines if re.match(r"  (wrong input|agent fails|no session), ", line)
    ]
    assert len(refused) == 9
    assert sum("422" in line or "exit code" in line for line in refused) == 4
    assert "=== Performance Summary ===" in lines
    assert list(tmp_path.iterdir()) == []


def test_the_tour_ends_well_when_it_is_interrupted(tmp_path: Path) -> None:
    with started(str(TOUR), cwd=tmp_path) as process:
        assert process.stdout is not None
        url = url_in(next(line for line in process.stdout if line.startswith("Serving")))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert errors == "Interrupted.\n"
    assert output.splitlines()[-1] == CLEANED_UP
    assert not answers(url)


def test_a_taken_port_is_an_error_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        completed = tour("--port", str(port), cwd=tmp_path, before=HIDE_KAIZEN)
    assert completed.returncode == 1
    (line,) = completed.stderr.splitlines()
    assert line.startswith("Error: ")
    assert str(port) in line
    assert completed.stdout.splitlines()[-1] == CLEANED_UP


def test_a_channel_that_answers_otherwise_fails_the_tour(tmp_path: Path) -> None:
    liar = (
        f"{HIDE_KAIZEN}\nsys.path.insert(0, {str(TOUR)!r})\nimport clients\n"
        "clients.CLIENTS['mcp'] = lambda *_: {'response': 'something else'}"
    )
    completed = tour(cwd=tmp_path, before=liar)
    assert completed.returncode == 1
    assert completed.stderr.startswith("Error: expected [")
    lines = completed.stdout.splitlines()
    assert lines[-1] == CLEANED_UP
    assert not answers(url_in(lines[1]))


def test_a_kaizen_agent_without_kaizen_says_what_to_install(tmp_path: Path) -> None:
    code = f"{HIDE_KAIZEN}\nfrom kaizen_nexus.console.main import main\nsys.exit(main())"
    completed = run("-c", code, "serve", f"{EXAMPLES / 'kaizen_agent.py'}:app", cwd=tmp_path)
    assert completed.returncode == 1
    (line,) = completed.stderr.splitlines()
    assert line.startswith("Error: this example is a Kaizen agent, and Kaizen is not installed")
    assert line.endswith(f"run: {REMEDY}")


@with_kaizen
def test_a_signature_is_the_schema(tmp_path: Path) -> None:
    code = (
        f"import sys, json; sys.path.insert(0, {str(EXAMPLES)!r}); from kaizen_agent import app\n"
        "workflow = app.runtime.registry.on_channel('mcp')['support'].workflow\n"
        "print(json.dumps([workflow.input_schema, workflow.output_schema, workflow.description]))"
    )
    completed = run("-c", code, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    inputs, outputs, description = json.loads(completed.stdout)
    assert inputs["required"] == ["question"]
    assert inputs["properties"]["question"]["description"] == "What the customer wants to know"
    assert inputs["properties"]["tone"]["default"] == "friendly"
    assert outputs["properties"]["response"]["type"] == "string"
    assert description
