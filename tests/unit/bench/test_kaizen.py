"""The suite ``kaizen``: what it compares, what it refuses, and one run of it where Kaizen is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bench.__main__ as harness
import kaizen_nexus
from bench import kaizen
from bench.comparing import Target
from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.contenders.sessions import MANAGER
from bench.core.operations import Operation
from bench.core.scale import Scale
from bench.kaizen.deployment import CHANNELS, Platform
from bench.kaizen.operations import against_original

ROOT = Path(harness.__file__).resolve().parent.parent
REMEDY = "run: pip install 'kailash-kaizen[observability]' kailash-nexus"


def can_run_agents() -> bool:
    """Whether Kaizen is installed, with what its agents need to run."""
    if importlib.util.find_spec("kaizen") is None or importlib.util.find_spec("nexus") is None:
        return False
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.grpc") is not None
    except ModuleNotFoundError:
        return False


def steady(seconds: float) -> Callable[[int], float]:
    return lambda number: number * seconds


@pytest.fixture
def operation() -> Operation:
    return Operation(
        "get",
        {COMPILED: steady(1e-3), MANAGER: steady(2e-3), PURE: steady(5e-3), ORIGINAL: steady(1e-2)},
        targets=[Target(PURE, 2), Target(ORIGINAL, 6), Target(ORIGINAL, 7, MANAGER)],
    )


def test_only_the_original_remains_a_rival(operation: Operation) -> None:
    kept = against_original(operation, COMPILED)
    assert set(kept.runs) == {COMPILED, ORIGINAL}
    assert kept.targets == [Target(ORIGINAL, 6)]
    rows, _ = kept.measure(Scale(rounds=3, sizes=(1,), many=1), lambda _: None)
    assert [row.name for row in rows] == ["get", "get: against the original"]
    assert rows[1].met is True


def test_managers_are_judged_by_their_own_target(operation: Operation) -> None:
    kept = against_original(operation, MANAGER)
    assert set(kept.runs) == {MANAGER, ORIGINAL}
    assert kept.targets == [Target(ORIGINAL, 7)]
    rows, _ = kept.measure(Scale(rounds=3, sizes=(1,), many=1), lambda _: None)
    assert [(row.name, row.met) for row in rows] == [
        ("get", None),
        ("get: against the original", False),
    ]


def test_without_a_compiled_core_nothing_is_judged(operation: Operation) -> None:
    runs = {ORIGINAL: steady(1e-2)}
    pure = Operation("get", runs, {MANAGER: "it is not in use"}, operation.targets)
    kept = against_original(pure, MANAGER)
    rows, _ = kept.measure(Scale(rounds=3, sizes=(1,), many=1), lambda _: None)
    assert [(row.met, row.reason) for row in rows] == [(None, "it is not in use")]


def platform(answers: dict[str, str], asgi: Any = None) -> Platform:
    functions = SimpleNamespace(deploy_multi_channel=lambda *_: answers)
    return Platform(
        functions, None, asgi, "/run", lambda question: {"q": question}, lambda it: it["ok"]
    )


def answering(status: int, body: bytes) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def test_a_deployment_that_returns_something_else_is_refused() -> None:
    with pytest.raises(WrongAnswerError, match="rival: deploying gives"):
        platform({"api": "/elsewhere"}).check("rival", None)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b'{"ok": true}', "a request to /run gives 404"),
        (200, b'{"ok": false}', "/run answers"),
    ],
)
def test_an_app_that_does_not_answer_is_refused(status: int, body: bytes, message: str) -> None:
    pytest.importorskip("httpx", reason="Kaizen's own dependency sends the request")
    with pytest.raises(WrongAnswerError, match=message):
        platform(CHANNELS, answering(status, body)).check("rival", None)
    platform(CHANNELS, answering(200, b'{"ok": true}')).check("rival", None)


def test_a_deployment_that_is_not_cached_is_refused() -> None:
    pytest.importorskip("httpx", reason="Kaizen's own dependency sends the request")
    functions = SimpleNamespace(
        deploy_multi_channel=lambda *_: CHANNELS, get_deployment_cache=kaizen_nexus.DeploymentCache
    )
    asgi = answering(200, b'{"ok": true}')
    forgetful = Platform(functions, None, asgi, "/run", lambda _: {}, lambda it: it["ok"], "name")
    with pytest.raises(WrongAnswerError, match="not in the cache"):
        forgetful.check("rival", answering)


def test_without_kaizen_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kaizen.integrations.nexus", None)
    with pytest.raises(SystemExit) as ended:
        kaizen.require_original()
    assert "needs kailash-kaizen with kailash-nexus, which is not installed" in str(ended.value)
    assert REMEDY in str(ended.value)


def test_it_does_not_compare_this_package_with_itself(tmp_path: Path) -> None:
    code = "import sys, kaizen_nexus; kaizen_nexus.install()\nfrom bench.__main__ import main\n"
    completed = python("-c", f"{code}sys.exit(main(['kaizen']))", cwd=tmp_path)
    assert completed.returncode == 1
    assert completed.stderr.startswith("Error: kaizen_nexus.install() has replaced")


@pytest.mark.skipif(not can_run_agents(), reason=f"Kaizen is not installed; {REMEDY}")
def test_a_short_run_judges_every_target(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    completed = python("-c", SHORT_RUN, "kaizen", "--json", str(out), cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["environment"]["kailash-kaizen"] != "not installed"
    same, deployment = written["sections"]
    judged = {row["name"]: row for row in same["rows"] if row["target"]}
    assert {name.removesuffix(": against the original") for name in judged} == {
        "get, one hot session",
        "update, one hot session",
        "create a session",
        "cache key of a configuration of a kilobyte",
        "create_cache_key(agent, name)",
        "summary after 1,000 records",
    }
    (cached,) = [row for row in deployment["rows"] if row["target"]]
    assert cached["target"] == "20x as fast"
    assert cached["met"] is True
    assert set(
        deployment["data"]["deploy a Kaizen agent on three channels, from the cache"]["contenders"]
    ) == {"ours", "the original"}


SHORT_RUN = """
import sys
from bench.core import scale
scale.FULL = scale.Scale(rounds=3, sizes=(1,), many=1_000)
from bench.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python elsewhere, with the harness importable behind the package under test."""
    code = f"import sys; sys.path.append({str(ROOT)!r})\n"
    option, source, *rest = arguments
    command = [sys.executable, option, code + source, *rest]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)
