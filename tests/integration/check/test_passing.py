"""Sound apps pass: one with agents of every kind, and every example."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kaizen_nexus.testing.samples import TEXT
from tests.integration.check.conftest import ROOT, Check

EXAMPLES = sorted(
    path
    for path in (*ROOT.glob("examples/*.py"), *ROOT.glob("examples/*/service.py"))
    if "Nexus(" in path.read_text("utf-8")
)
NEED_KAIZEN = {"kaizen_agent.py"}
pytestmark = pytest.mark.slow
ASPECTS = ("result", "schema", "session", "error", "metric")

SERVICE = '''
import itertools
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from kaizen_nexus import Nexus, deploy_as_api, deploy_as_mcp, deploy_multi_channel
from kaizen_nexus import deploy_with_sessions


@dataclass
class Point:
    x: int
    label: str = "ä"


@dataclass
class Line:
    start: Point
    end: Point | None = None


def translate(
    text: str,
    languages: list[str],
    tone: Literal["formal", "casual"] = "casual",
    max_words: int = 100,
    dry_run: bool = False,
    glossary: dict[str, str] | None = None,
    url: Annotated[str, "An input that is called like an option."] = "",
) -> dict[str, str]:
    """Translate a text."""
    shown = f"{text} ({tone}, {max_words}, {dry_run}, {glossary}, {url})"
    return dict.fromkeys(languages, shown)


async def geometry(line: Line, scale: float = 1.5) -> Line:
    return Line(Point(int(line.start.x * scale)), line.start)


def remember(fact: str, context: dict[str, Any] | None = None, session: Any = None) -> list[str]:
    facts = [*(context or {}).get("facts", []), fact]
    if session is not None:
        session.update_state({"facts": facts})
    return facts


def add(number: int = 1) -> int:
    return 2**70 + number


def fail(reason: str) -> None:
    raise LookupError(reason)


def anything(**inputs: Any) -> dict[str, Any]:
    return inputs


numbers = itertools.count()


def count() -> int:
    """Give another result each time."""
    return next(numbers)


app = Nexus()
for agent in (translate, geometry, remember, add, fail, anything, count):
    deploy_multi_channel(agent, app, agent.__name__)
deploy_with_sessions(remember, app, "always_remember")
deploy_as_mcp(add, app, "only_mcp")
deploy_as_api(add, app, "only_api", prefix="/v2/agents")
'''


@pytest.fixture
def app(service: Callable[[str], str]) -> str:
    return service(SERVICE)


def test_agents_of_every_kind(check: Check, app: str) -> None:
    done = check(app, "-o", "json")
    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
    report = done.report
    assert report["same"] is True
    assert report["differences"] == []
    statuses = report["workflows"]
    assert statuses["remember"] == dict.fromkeys(ASPECTS, "same")
    assert statuses["always_remember"] == dict.fromkeys(ASPECTS, "same")
    assert statuses["(app)"]["metric"] == "same"
    # An agent that always fails has no result to compare, and that alone.
    assert statuses["fail"] == {
        **dict.fromkeys(ASPECTS, "same"),
        "result": "not compared",
        "session": "not compared",
    }
    notes = [note["text"] for note in report["notes"] if note["workflow"] == "count"]
    assert any("differs: the result is not the same twice on http itself" in n for n in notes)
    inputs = {(used["workflow"], used["case"]): used["inputs"] for used in report["inputs"]}
    assert inputs["translate", "all inputs"]["tone"] == "formal"
    assert inputs["translate", "all inputs"]["max_words"] == 101
    assert inputs["count", "no inputs"] == {}


def test_the_channels_are_available(check: Check, app: str) -> None:
    channels = check(app, "-o", "json", "--workflow", "add").report["channels"]
    available = {channel["name"]: channel["available"] for channel in channels}
    assert available == {
        "http": True,
        "cli": True,
        "mcp-handshake": True,
        "mcp-2026-07-28": True,
        "mcp-stdio": True,
    }


@pytest.mark.parametrize("form", ["lines", "array", "mapping"])
def test_inputs_from_a_file(check: Check, app: str, tmp_path: Path, form: str) -> None:
    given = [{"number": 2**200}, {"number": -1}]
    records = [{"workflow": "add", "inputs": inputs} for inputs in given]
    texts = {
        "lines": "".join(f"{json.dumps(record)}\n\n" for record in records),
        "array": json.dumps(records),
        "mapping": json.dumps({"add": given}),
    }
    (tmp_path / "inputs.json").write_text(texts[form], encoding="utf-8")
    done = check(app, "--inputs", "inputs.json", "--workflow", "add", "-o", "json")
    assert done.exit_code == 0, done.stdout
    assert [used["inputs"] for used in done.report["inputs"]] == given
    assert list(done.report["workflows"]) == ["add", "(app)"]


def test_a_wrapped_app_is_checked_without_stdio(
    check: Check, service: Callable[[str], str]
) -> None:
    wrapped = f"{SERVICE}\nnexus = app\n\nasync def app(scope, receive, send):\n"
    target = service(f"{wrapped}    await nexus(scope, receive, send)\n")
    done = check(target, "--workflow", "remember", "-o", "json")
    assert done.exit_code == 0, done.stdout
    (stdio,) = [each for each in done.report["channels"] if each["name"] == "mcp-stdio"]
    assert stdio["available"] is False
    assert "service:app is of type function, not Nexus" in stdio["detail"]


def test_proxies_of_the_environment_are_not_used(check: Check, app: str) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://192.0.2.1:9")
    done = check(app, "--workflow", "add", "-o", "json", **nowhere)
    assert done.exit_code == 0, done.stdout + done.stderr


def test_what_is_discovered_is_checked(
    check: Check, service: Callable[[str], str], tmp_path: Path
) -> None:
    code = "def agent(text: str) -> str:\n    return text\n"
    (tmp_path / "echo_workflow.py").write_text(code, encoding="utf-8")
    target = service("from kaizen_nexus import Nexus\napp = Nexus(auto_discovery=True)\n")
    done = check(target, "-o", "json")
    assert [used["inputs"] for used in done.report["inputs"]] == [{"text": TEXT}]
    assert done.exit_code == 0, done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples(check: Check, example: Path) -> None:
    if example.name in NEED_KAIZEN and importlib.util.find_spec("kaizen") is None:
        pytest.skip("needs kailash-kaizen")
    done = check(f"{example}:app")
    assert (done.exit_code, done.stderr) == (0, ""), done.stdout
