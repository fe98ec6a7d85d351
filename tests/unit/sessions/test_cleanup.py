from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from datetime import timedelta

import pytest

from kaizen_nexus import _accel
from kaizen_nexus.sessions import NexusSessionManager
from kaizen_nexus.sessions.cleanup import Sweeper

WAIT = 30


class Witness:
    """A value that tells when it is destroyed, and by which thread."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.thread: str | None = None

    def value(self):
        witness = self

        class Value:
            def __del__(self):
                witness.thread = threading.current_thread().name
                witness.gone.set()

        return Value()


class Heard(logging.Handler):
    """Lets a test wait until something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.event.set()


@pytest.fixture
def heard():
    handler = Heard()
    logger = logging.getLogger("kaizen_nexus.sessions")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def with_a_witness(manager):
    witness = Witness()
    manager.create_session(user_id="ada").state["value"] = witness.value()
    return witness


def test_the_thread_starts_with_the_first_session_and_sweeps_when_asked(make, clock):
    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    manager.request_cleanup()
    assert not manager.cleanup_status().running
    witness = with_a_witness(manager)
    assert manager.cleanup_status().running
    assert manager.cleanup_status().seconds_since_last is None
    clock.tick(60)
    manager.request_cleanup()
    assert witness.gone.wait(WAIT)
    assert witness.thread == "kaizen-nexus-sweeper"
    manager.close()
    status = manager.cleanup_status()
    assert (status.running, status.runs, status.failures, status.removed) == (False, 1, 0, 1)
    clock.tick(5)
    assert manager.cleanup_status().seconds_since_last == 5
    assert status.last_duration >= 0


def test_the_thread_sweeps_by_itself(make, clock):
    manager = make(cleanup_interval=0.001, session_ttl=60, clock=clock)
    witness = with_a_witness(manager)
    clock.tick(60)
    assert witness.gone.wait(WAIT)


@pytest.mark.parametrize("interval", [None, 0])
def test_no_interval_means_no_thread(make, clock, interval):
    manager = make(cleanup_interval=interval, session_ttl=60, clock=clock)
    session = manager.create_session(user_id="ada")
    status = manager.cleanup_status()
    assert (status.running, status.interval) == (False, interval)
    assert manager.cleanup_interval == interval
    clock.tick(60)
    assert manager.get_session(session.session_id) is None
    assert manager.cleanup_expired_sessions() == 1
    assert manager.cleanup_status().runs == 1


def test_the_interval_can_be_changed(make, clock):
    manager = make(cleanup_interval=None, session_ttl=60, clock=clock)
    manager.create_session(user_id="ada")
    manager.cleanup_interval = 3600
    assert manager.cleanup_interval == 3600
    witness = with_a_witness(manager)
    assert manager.cleanup_status().running
    thread = manager._sweeper._thread
    clock.tick(60)
    manager.cleanup_interval = 0.001
    assert witness.gone.wait(WAIT)
    manager.cleanup_interval = None
    thread.join(WAIT)
    assert not thread.is_alive()
    with pytest.raises(ValueError, match="cleanup_interval must be positive, not -1"):
        manager.cleanup_interval = -1
    with pytest.raises(ValueError, match="cleanup_interval must be at most"):
        manager.cleanup_interval = 10**12


def test_an_interval_of_zero_stops_the_thread(make, clock):
    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    manager.create_session(user_id="ada")
    thread = manager._sweeper._thread
    manager.cleanup_interval = 0
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.mark.parametrize(("interval", "left"), [(10, 0), (None, 1), (0, 1), (3600, 1)])
def test_a_cleanup_that_is_said_to_be_long_ago_is_made_up_for(make, clock, interval, left):
    manager = make(cleanup_interval=interval, session_ttl=60, clock=clock)
    manager.create_session(user_id="ada")
    clock.tick(60)
    began = manager._last_cleanup
    manager._last_cleanup = began - timedelta(seconds=1)
    assert manager.get_session_metrics()["total_sessions"] == left
    assert (manager._last_cleanup > began) is (left == 0)


def test_an_error_is_logged_counted_and_survived(make, clock, heard):
    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    witness = with_a_witness(manager)
    clock.tick(60)
    clock.error = OSError("the clock is broken")
    manager.request_cleanup()
    assert heard.event.wait(WAIT)
    assert heard.messages == ["session cleanup failed; it will be tried again"]
    clock.error = None
    manager.request_cleanup()
    assert witness.gone.wait(WAIT)
    manager.close()
    status = manager.cleanup_status()
    assert (status.runs, status.failures, status.removed) == (1, 1, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_started_again(make, clock):
    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    manager.create_session(user_id="ada")
    thread = manager._sweeper._thread
    clock.error = SystemExit()
    manager.request_cleanup()
    thread.join(WAIT)
    clock.error = None
    assert not manager.cleanup_status().running
    witness = with_a_witness(manager)
    assert manager.cleanup_status().running
    clock.tick(60)
    manager.request_cleanup()
    assert witness.gone.wait(WAIT)


def test_a_session_is_created_even_if_no_thread_can_be(make, clock, heard, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert manager.create_session(user_id="ada")
    assert heard.messages == ["cannot start the session cleanup thread: can't start new thread"]
    status = manager.cleanup_status()
    assert (status.running, status.failures) == (False, 1)
    manager.create_session(user_id="ada")
    assert manager.cleanup_status().running


def test_close_stops_the_thread_for_good(make, clock):
    with make(cleanup_interval=3600, clock=clock) as manager:
        session = manager.create_session(user_id="ada")
        thread = manager._sweeper._thread
        assert thread.is_alive()
        assert thread.daemon
    assert not thread.is_alive()
    manager.close()
    manager.create_session(user_id="bob")
    assert not manager.cleanup_status().running
    assert manager.get_session(session.session_id) == session


def test_closing_from_a_destructor_in_the_thread_itself(make, clock):
    manager = make(cleanup_interval=3600, session_ttl=60, clock=clock)
    done = threading.Event()

    class Closer:
        def __del__(self):
            manager.close()
            done.set()

    manager.create_session(user_id="ada").state["value"] = Closer()
    thread = manager._sweeper._thread
    clock.tick(60)
    manager.request_cleanup()
    assert done.wait(WAIT)
    thread.join(WAIT)
    assert not thread.is_alive()


def test_the_thread_does_not_keep_the_manager_alive():
    manager = NexusSessionManager(cleanup_interval=3600)
    session = manager.create_session(user_id="ada")
    thread = manager._sweeper._thread
    sweeper = weakref.ref(manager._sweeper)
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
    thread.join(WAIT)
    assert not thread.is_alive()
    del thread
    gc.collect()
    assert sweeper() is None
    assert session.user_id == "ada"


def test_racing_starts_start_one_thread():
    sweeper = Sweeper(_accel.SessionTable(), 3600)
    barrier = threading.Barrier(8)
    before = threading.active_count()

    def start():
        barrier.wait()
        sweeper.start()

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert threading.active_count() == before + 1
    sweeper.stop()
    sweeper.join()
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_thread(core, tmp_path):
    script = """
import os, threading
from kaizen_nexus.sessions import NexusSessionManager

now = [10**9]
manager = NexusSessionManager(3600, 60, clock=lambda: now[0])
kept = manager.create_session(user_id="ada")
assert manager.cleanup_status().running
pid = os.fork()
if pid == 0:
    assert not manager.cleanup_status().running
    assert threading.active_count() == 1
    gone = threading.Event()
    class Value:
        def __del__(self):
            gone.set()
    manager.create_session(user_id="bob").state["value"] = Value()
    assert manager.cleanup_status().running
    now[0] += 60 * 10**9
    manager.request_cleanup()
    assert gone.wait(30)
    manager.close()
    assert manager.cleanup_status().removed == 2
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert manager.cleanup_status().running
assert len(manager.sessions) == 1
manager.close()
"""
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    environment = {**os.environ, "KAIZEN_NEXUS_IMPL": core.name}
    subprocess.run(arguments, check=True, timeout=60, cwd=tmp_path, env=environment)


def test_the_process_ends_with_a_manager_still_open(core, tmp_path):
    script = """
from kaizen_nexus.sessions import NexusSessionManager
manager = NexusSessionManager()
manager.create_session(user_id="ada")
"""
    environment = {**os.environ, "KAIZEN_NEXUS_IMPL": core.name}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script],
        check=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    assert ended.stderr == b""
