"""Starting and stopping an app, again and again, from several threads."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_as_api


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus(api_port=0)
    yield app
    app.close()


def is_alive(app: Nexus) -> bool:
    with urllib.request.urlopen(f"{app.url}/health/live", timeout=10) as answer:  # noqa: S310
        return bool(answer.status == 200)


class Announcing(Nexus):
    """Says when it is served."""

    def __init__(self) -> None:
        super().__init__(api_port=0)
        self.served = threading.Event()

    def _discover(self) -> None:
        self.served.set()


def test_stopping_a_server_in_another_thread_waits_for_its_end() -> None:
    app = Announcing()
    thread = threading.Thread(target=app.start)
    thread.start()
    assert app.served.wait(10)
    assert app.stop()
    app.start(blocking=False)  # at the same port, which must be free
    thread.join(10)
    assert is_alive(app)
    assert app.stop(), "the end of the first server is not that of the second"
    with pytest.raises(OSError, match="refused"):
        is_alive(app)
    app.close()


def test_a_server_that_is_not_installed_leaves_no_port_behind(
    app: Nexus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "kaizen_nexus.http.server.granian_server", raising=False)
    monkeypatch.setitem(sys.modules, "granian._granian", None)
    with pytest.raises(ImportError, match=r"kaizen-nexus\[granian\]"):
        app.start(blocking=False, server="granian")
    app.start(blocking=False)
    assert is_alive(app)


def test_a_loop_that_is_not_installed_or_unknown_is_named(
    app: Nexus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ImportError, match=r"kaizen-nexus\[uvloop\]"):
        app.start(blocking=False, loop="uvloop")
    with pytest.raises(ValueError, match="loop must be one of auto, asyncio, uvloop"):
        app.start(blocking=False, loop="tokio")
    app.start(blocking=False, loop="auto")
    assert is_alive(app)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_agents_run_on_the_loop_that_is_chosen(app: Nexus, server: str, loop: str) -> None:
    pytest.importorskip(loop)

    async def where() -> str:
        return type(asyncio.get_running_loop()).__module__

    deploy_as_api(where, app, "where")
    app.start(blocking=False, server=server, loop=loop)
    request = f"{app.url}/api/workflows/where/execute"
    with urllib.request.urlopen(request, b"{}", timeout=10) as answer:  # noqa: S310
        assert loop in json.load(answer)["result"]
    assert app.stop()


def test_whoever_stops_it_while_it_drains_stops_it_now(
    app: Nexus, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining, drained = threading.Event(), threading.Event()

    def drain(seconds: float) -> None:
        if seconds:
            draining.set()
            assert drained.wait(10)

    monkeypatch.setattr("kaizen_nexus.nexus.hosting.time.sleep", drain)
    app.start(blocking=False)
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(app.stop(drain=60)))
    thread.start()
    assert draining.wait(10)
    assert is_alive(app)
    with pytest.raises(RuntimeError, match="already serving"):
        app.start(blocking=False)
    assert app.stop()
    with pytest.raises(OSError, match="refused"):
        is_alive(app)
    drained.set()
    thread.join(10)
    assert ended == [True]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e9, True, "1", None])
def test_what_is_no_time_to_stop_in_is_refused(app: Nexus, seconds: Any) -> None:
    with pytest.raises(ValueError, match="shutdown_grace must be from 0 to"):
        Nexus(shutdown_grace=seconds)
    with pytest.raises(ValueError, match="drain must be from 0 to"):
        app.stop(seconds)
    assert app.health_check()["status"] == "healthy"
