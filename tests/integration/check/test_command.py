"""The command itself: what it refuses, what it prints where, and what it leaves behind: nothing."""

from __future__ import annotations

import errno
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.check.conftest import TIMEOUT, Check

APPS = Path(__file__).with_name("broken_apps.py")

# Each process that makes the app leaves its id behind.
LEAVES_TRACES = """
import os, pathlib, time
from kaizen_nexus import Nexus, deploy_multi_channel

pathlib.Path(f"process-{os.getpid()}").touch()

def wait(seconds: float = 0.0) -> float:
    pathlib.Path("waiting").touch()
    time.sleep(seconds)
    return seconds

app = Nexus(shutdown_grace=1)
deploy_multi_channel(wait, app, "wait")
"""
LONG = json.dumps({"wait": [{"seconds": 60.0}]})


def processes(folder: Path) -> list[int]:
    """Return those of the traced processes that still run."""
    running = []
    for trace in folder.glob("process-*"):
        number = int(trace.name.partition("-")[2])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            continue
        running.append(number)
    return running


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing:app"], "there is no module 'nothing'"),
        ([f"{APPS}:nothing_deployed"], "no workflow is deployed"),
        pytest.param(
            [f"{APPS}:not_an_app"],
            "not_an_app is of type int, not Nexus: GET /api/workflows",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [f"{APPS}:counted_twice", "--workflow", "nots"],
            "did you mean 'notes'?",
            marks=pytest.mark.slow,
        ),
        ([f"{APPS}:counted_twice", "--inputs", "missing.json"], "No such file or directory"),
        ([f"{APPS}:counted_twice", "--timeout", "0"], "--timeout"),
        ([], "Missing argument 'TARGET'"),
    ],
)
def test_what_cannot_be_checked_is_exit_code_2(
    check: Check, arguments: list[str], expected: str
) -> None:
    done = check(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_call_that_takes_too_long_is_a_difference_and_not_for_ever(
    check: Check, service: Callable[[str], str], tmp_path: Path
) -> None:
    target = service(
        LEAVES_TRACES.replace("time.sleep(seconds)", "session and time.sleep(60)").replace(
            "seconds: float = 0.0", "seconds: float = 0.0, session=None"
        )
    )
    done = check(target, "--timeout", "1")
    assert done.exit_code == 1, done.stdout + done.stderr
    assert "no-answer: no answer within 1 s" in done.stdout
    assert processes(tmp_path) == []


@pytest.mark.slow
def test_a_server_that_ends_is_said_to_have_ended(
    check: Check, service: Callable[[str], str]
) -> None:
    done = check(service(LEAVES_TRACES.replace("time.sleep(seconds)", "os._exit(9)")))
    assert done.exit_code == 2
    assert "the server ended with exit code 9 while 'wait' ran" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "calling"])
def test_a_signal_leaves_no_process_behind(
    check: Check, service: Callable[[str], str], tmp_path: Path, number: int, moment: str
) -> None:
    (tmp_path / "inputs").write_text(LONG, encoding="utf-8")
    process = check.start(service(LEAVES_TRACES), "--inputs", "inputs")
    try:
        trace = "waiting" if moment == "calling" else "process-*"
        wait_until(lambda: any(tmp_path.glob(trace)) or process.poll() is not None)
        assert any(tmp_path.glob(trace))
        process.send_signal(number)
        _, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (130, "Interrupted.\n")
    assert processes(tmp_path) == []
    assert not list(Path(tmp_path).glob("nexus-check-*"))


@pytest.mark.slow
def test_the_servers_output_is_kept_where_it_is_wanted(check: Check, tmp_path: Path) -> None:
    done = check(f"{APPS}:counted_twice", "--log", "servers.log")
    assert done.exit_code == 1
    assert "Serving on http://127.0.0.1:" in (tmp_path / "servers.log").read_text("utf-8")


def on_a_terminal(check: Check, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the program on a terminal of its own; return exit code and all that it showed."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        check.command(*arguments),
        cwd=check.folder,
        env=check.environment(TERM="xterm", **environment),
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    shown = b""
    deadline = time.monotonic() + TIMEOUT
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                part = os.read(terminal, 65_536)
            except OSError as error:
                assert error.errno == errno.EIO  # noqa: PT017  # how a terminal says it is closed
                break
            if not part:
                break
            shown += part
        return process.wait(TIMEOUT), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_colour_and_progress_on_a_terminal_alone(check: Check) -> None:
    code, shown = on_a_terminal(check, f"{APPS}:counted_twice")
    assert code == 1
    assert "\033[31m\033[1mDIFFERS" in shown
    assert "\r\033[Knotes" in shown or "\r\033[Kstarting" in shown
    plain = check(f"{APPS}:counted_twice")
    assert (plain.exit_code, plain.stderr) == (1, "")
    assert "\033" not in plain.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_no_colour_where_none_is_wanted(check: Check) -> None:
    _, shown = on_a_terminal(check, f"{APPS}:counted_twice", NO_COLOR="1")
    assert "DIFFERS" in shown
    assert "\033[31m" not in shown
