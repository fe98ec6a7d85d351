"""Fork in the middle of traffic: forks.py PACKAGE FORKS SECONDS.

Each child must find a table, a histogram and cache keys that work, and draw ids that nobody else
draws. A child that does not end is ended by its own alarm, and fails the program.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
import traceback
from collections import deque
from typing import NoReturn

THREADS = 4
PATIENCE = 30  # seconds that a child may take, on a machine that is busy with other things
DRAWN = 8
LEFT = ("replaced", "expired", "deleted", "evicted")


class Load:
    """Threads that use a table and a histogram until they are told to stop."""

    def __init__(self, package: str) -> None:
        self.table = importlib.import_module(f"{package}.session_table").SessionTable(600)
        histograms = importlib.import_module(f"{package}.latency_histogram")
        self.histogram = histograms.LatencyHistogram(exact=64)
        self.cache_key = importlib.import_module(f"{package}.cache_key").cache_key
        self.key = self.cache_key({"a": [1, 2.0]})
        self.table.create("known", "somebody", state={"a": 1})
        self.stop = threading.Event()
        self.rounds = [0] * THREADS
        self.created: list[list[str]] = [[] for _ in range(THREADS)]
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(THREADS)]

    def run(self, number: int) -> None:
        recent: deque[str] = deque()
        while not self.stop.is_set():
            session_id = self.table.create(None, f"user {number}", state={"n": number})
            self.created[number].append(session_id)
            recent.append(session_id)
            self.table.update(session_id, {"m": number}, "api")
            row = self.table.handle(session_id)
            row.memory_pool_id = number
            self.table.touch("known", "cli")
            self.table.sweep(64)
            self.histogram.record(number / 1000)
            if len(recent) > 50:
                assert self.table.delete(recent.popleft())
            if number == 0:
                self.table.metrics()
                self.histogram.summary()
                assert self.cache_key({"a": [1, 2.0]}) == self.key
            self.rounds[number] += 1

    def go_on(self) -> None:
        """Wait until every thread has done some more."""
        before = list(self.rounds)
        while any(now < then + 3 for now, then in zip(self.rounds, before, strict=True)):
            os.sched_yield()
            if not all(thread.is_alive() for thread in self.threads):
                raise SystemExit("a thread has ended")


def use(load: Load) -> list[str]:
    """Use all there is, as the only thread of a child, and then from another; return new ids."""
    table = load.table
    assert table.get_state("known") == {"a": 1}
    assert table.update("known", {"b": 2}, "mcp")
    row = table.handle("known")
    assert row.user_id == "somebody"
    assert row.state == {"a": 1, "b": 2}
    for session_id in table.ids():
        assert table.peek(session_id).session_id == session_id
    figures = table.metrics()
    gone = sum(figures[name] for name in LEFT)
    assert figures["created"] - gone == figures["total"] == len(table) == len(table.ids())
    drawn = [table.create() for _ in range(DRAWN // 2)]

    def draw() -> None:
        drawn.extend(table.create_handle().session_id for _ in range(DRAWN // 2))

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert len(table) == figures["total"] + DRAWN
    table.sweep_all()
    assert table.clear() == figures["total"] + DRAWN
    recorded = load.histogram.count
    load.histogram.record(0.5)
    assert load.histogram.summary()["count"] == recorded + 1
    assert load.cache_key({"a": [1, 2.0]}) == load.key
    return drawn


def child(load: Load, pipe: int) -> NoReturn:
    faulthandler.register(signal.SIGALRM, chain=True)  # says where it hung, then lets it die
    signal.alarm(PATIENCE)
    try:
        os.write(pipe, "".join(use(load)).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def fork(load: Load) -> list[str]:
    """Fork; return the ids that the child drew."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        child(load, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        drawn = pipe.read().decode()
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        raise SystemExit("a child hung")
    if status:
        raise SystemExit(f"a child failed: {status}")
    assert len(drawn) == 32 * DRAWN
    return [drawn[start : start + 32] for start in range(0, len(drawn), 32)]


def main(package: str, forks: int, seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True)
    sys.setswitchinterval(1e-5)
    load = Load(package)
    for thread in load.threads:
        thread.start()
    drawn: list[str] = []
    try:
        for _ in range(forks):
            load.go_on()
            drawn += fork(load)
    finally:
        load.stop.set()
        for thread in load.threads:
            thread.join()
    everywhere = [*drawn, *(session_id for ids in load.created for session_id in ids)]
    assert len(drawn) == forks * DRAWN
    assert len(everywhere) == len(set(everywhere))
    assert load.table.get_state("known") == {"a": 1}
    sys.stdout.write(f"{forks} forks, {sum(load.rounds)} rounds beside them\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
