"""Threads, forks, destructors and references: what breaks a table that is merely correct."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

SECOND = 1_000_000_000


@pytest.fixture
def tables(core):
    return core.module("session_table").SessionTable


@pytest.fixture
def _busy_switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_busy_switching")
def test_twenty_threads_lose_nothing(tables):
    table = tables()
    each = 250

    def worker(number):
        ids = [table.create(user_id=f"u{number}", state={"owner": number}) for _ in range(each)]
        for step, session_id in enumerate(ids):
            assert table.update(session_id, {"step": step}, "api")
        for step, session_id in enumerate(ids):
            assert table.get_state(session_id, "cli") == {"owner": number, "step": step}
            assert table.handle(session_id).user_id == f"u{number}"
        return ids

    with ThreadPoolExecutor(max_workers=20) as pool:
        ids = [session_id for batch in pool.map(worker, range(20)) for session_id in batch]
    assert len(set(ids)) == len(table) == 5_000
    assert set(table.ids()) == set(ids)
    figures = table.metrics()
    assert (figures["active"], figures["created"]) == (5_000, 5_000)
    assert figures["channels_used"] == ["api", "cli"]


@pytest.mark.usefixtures("_busy_switching")
def test_updates_of_one_session_are_not_torn_and_not_lost(tables):
    table = tables()
    table.create("s", state={"left": 0, "right": 0})
    stop = threading.Event()

    def write(number):
        for step in range(300):
            assert table.update("s", {"left": step, "right": step, f"{number}/{step}": step})

    def read():
        reads = 0
        while not stop.is_set() or reads == 0:
            state = table.get_state("s")
            assert state["left"] == state["right"]
            reads += 1
        return reads

    with ThreadPoolExecutor(max_workers=10) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for writer in [pool.submit(write, number) for number in range(8)]:
            writer.result()
        stop.set()
        assert all(reader.result() for reader in readers)
    assert len(table.get_state("s")) == 2 + 8 * 300


@pytest.mark.usefixtures("_busy_switching")
def test_sweeping_beside_traffic_removes_only_what_expired(tables):
    lock = threading.Lock()
    now = [SECOND]
    table = tables(10, clock=lambda: now[0])
    kept = [table.create(ttl=10_000_000, state={"n": number}) for number in range(500)]
    stop = threading.Event()

    def churn():
        made = 0
        while not stop.is_set():
            table.create(state={"short": True})
            with lock:
                now[0] += SECOND // 10
            made += 1
        return made

    def use():
        for _ in range(20):
            for number, session_id in enumerate(kept):
                assert table.get_state(session_id, "api") == {"n": number}

    with ThreadPoolExecutor(max_workers=6) as pool:
        churners = [pool.submit(churn) for _ in range(2)]
        users = [pool.submit(use) for _ in range(2)]
        removed = 0
        while not all(user.done() for user in users):
            removed += table.sweep(max_rows=64)[0] + table.sweep_all()
        stop.set()
        for user in users:
            user.result()
        made = sum(churner.result() for churner in churners)
    now[0] += 11 * SECOND
    removed += table.sweep_all()
    assert removed == made
    assert set(table.ids()) == set(kept)


@pytest.mark.usefixtures("_busy_switching")
def test_replacing_evicting_and_handles_beside_each_other(tables):
    table = tables(capacity=50, on_full="evict")

    def worker(number):
        for step in range(400):
            session_id = f"s{(number * 7 + step) % 80}"
            row = table.create_handle(session_id, f"u{number}")
            row.update_state({"by": number}, "api")
            table.update(session_id, {"seen": step})
            other = table.peek(f"s{step % 80}")
            if other is not None:
                other.refresh("cli")
                assert other.session_id == f"s{step % 80}"
            if step % 5 == 0:
                row.delete()
            assert row.user_id == f"u{number}"
            assert row.state["by"] == number

    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(worker, number) for number in range(8)]:
            future.result()
    assert len(table) == len(set(table.ids())) <= 50
    figures = table.metrics()
    gone = sum(figures[name] for name in ("replaced", "expired", "deleted", "evicted"))
    assert figures["created"] - gone == figures["total"]


class Meddler:
    """A value whose destructor uses the table that it is being thrown out of."""

    def __init__(self, table, log):
        self.table = table
        self.log = log

    def __del__(self):
        table = self.table
        table.create(f"from {len(self.log)}", ttl=100_000)
        table.update("other", {"meddled": len(self.log)}, "api")
        table.get_state("other")
        table.delete("no such session")
        table.metrics()
        self.log.append(len(table))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "way_out",
    ["update", "delete", "replace", "sweep", "sweep all", "clear", "evict", "reclaim", "set state"],
)
def test_destructors_may_use_the_table(tables, way_out):
    now = [SECOND]
    options = {"capacity": 4, "on_full": "evict"} if way_out in {"evict", "reclaim"} else {}
    table = tables(10, clock=lambda: now[0], **options)
    log = []
    table.create("s", state={"value": Meddler(table, log)})
    table.create("other", ttl=100_000)
    if way_out == "update":
        table.update("s", {"value": None})
    elif way_out == "delete":
        table.delete("s")
    elif way_out == "replace":
        table.create("s")
    elif way_out == "clear":
        table.clear()
    elif way_out == "evict":
        for number in range(3):
            table.create(f"n{number}", ttl=100_000)
    elif way_out == "set state":
        table.peek("s").state = {}
    else:
        now[0] += 10 * SECOND
        if way_out == "reclaim":
            for number in range(3):
                table.create(f"n{number}", ttl=100_000)
        else:
            removed = table.sweep()[0] if way_out == "sweep" else table.sweep_all()
            assert removed == 1
    assert len(log) == 1
    assert "from 0" in table


@pytest.mark.timeout(30)
def test_a_destructor_run_by_the_collector_may_use_the_table(tables):
    table = tables()
    table.create("other")
    log = []

    def litter():
        value = Meddler(table, log)
        value.self = value  # only the collector can free it

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(50):
            litter()
            table.update(table.create(), {"n": number}, "cli")
            assert table.get_state("other") is not None
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(log) == 50


def test_the_replaced_value_survives_until_the_whole_update_is_in(tables):
    table = tables()
    seen = []

    class Value:
        def __del__(self):
            seen.append(table.get_state("s"))

    table.create("s", state={"a": Value(), "b": Value()})
    table.update("s", {"a": 1, "b": 2, "c": 3})
    assert seen == [{"a": 1, "b": 2, "c": 3}] * 2


def test_keys_that_run_python_code_do_no_harm_in_a_live_state(tables):
    table = tables()

    class Key:
        def __hash__(self):
            return hash("a")

        def __eq__(self, other):
            table.update("s", {"b": 2})
            table.create()
            return False

    table.create("s")
    table.peek("s").state[Key()] = 0
    assert table.update("s", {"a": 1})
    state = table.get_state("s")
    assert (state["a"], state["b"]) == (1, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_working_table_and_its_own_ids(core, tmp_path):
    script = f"""
import os, sys, threading
from {core.package}.session_table import SessionTable

table = SessionTable()
first = table.create("first", state={{"a": 1}})
table.create()
stop = threading.Event()
def hammer():
    while not stop.is_set():
        table.touch("first", "api")
        table.create()
        table.sweep()
threads = [threading.Thread(target=hammer) for _ in range(4)]
for thread in threads:
    thread.start()
read, write = os.pipe()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        assert table.get_state("first") == {{"a": 1}}
        table.update("first", {{"b": 2}})
        os.write(write, "".join(table.create() for _ in range(8)).encode())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
os.close(write)
drawn = open(read).read()
ids = [drawn[i:i + 32] for i in range(0, len(drawn), 32)]
assert len(ids) == len(set(ids)) == 160, len(set(ids))
assert not set(ids) & set(table.ids())
assert table.get_state("first") == {{"a": 1}}
"""
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    subprocess.run(arguments, check=True, timeout=60, cwd=tmp_path)


def test_everything_that_leaves_the_table_is_freed(tables):
    class Value:
        pass

    now = [SECOND]
    table = tables(10, clock=lambda: now[0])
    alive = weakref.WeakSet()

    def value():
        made = Value()
        alive.add(made)
        return made

    user_id = "".join(["some", "body"])
    before = sys.getrefcount(user_id)
    for _ in range(3):
        for number in range(20):
            key = f"s{number}"
            table.create(key, user_id, state={"value": value()})
            table.update(key, {"value": value(), "more": value()}, "api")
            table.peek(key).memory_pool_id = value()
            table.peek(key).memory_pool_id = value()
            table.peek(key).state = {"value": value()}
        assert len(alive) == 40
        for number in range(10):
            table.delete(f"s{number}")
        assert len(alive) == 20
        now[0] += 10 * SECOND
        assert table.sweep_all() == 10
        assert len(alive) == 0
    assert sys.getrefcount(user_id) == before
    table.create("s", user_id, state={"value": value()})
    handle = table.peek("s")
    del table
    assert len(alive) == 1
    del handle
    gc.collect()
    assert len(alive) == 0
    assert sys.getrefcount(user_id) == before


def test_a_table_and_its_handles_may_go_in_one_collection(tables):
    class Marker:
        pass

    for _ in range(20):
        table = tables()
        cycle = {"table": table, "first": table.create_handle(state={"a": 1})}
        cycle["gone"] = table.create_handle()
        cycle["gone"].refresh("api")
        cycle["gone"].delete()
        cycle["gone"].state["cycle"] = cycle
        cycle["self"] = cycle
        marker = Marker()
        cycle["marker"] = marker
        alive = weakref.ref(marker)
        del cycle, table, marker
        gc.collect()
        assert alive() is None


def test_failed_calls_keep_nothing(tables):
    class Value:
        pass

    value = Value()
    table = tables(capacity=1)
    table.create("a")

    def fail():
        state = {"value": value}
        for call in (
            lambda: table.create("b", state=state),
            lambda: table.create("", state=state),
            lambda: table.create("a", 5, state=state),
            lambda: table.update("a", {"value": value, 5: 1}),
            lambda: table.update("a", state, ""),
        ):
            with pytest.raises((ValueError, TypeError, RuntimeError)):
                call()
        assert not table.update("missing", state)

    before = sys.getrefcount(value)
    fail()
    gc.collect()
    assert sys.getrefcount(value) == before


def test_memory_is_used_again_round_after_round(core, tmp_path):
    script = f"""
import gc, tracemalloc
from {core.package}.session_table import SessionTable

now = [10**9]
table = SessionTable(10, clock=lambda: now[0])
sizes = []
tracemalloc.start()
for _ in range(6):
    for number in range(5_000):
        session_id = table.create(user_id="u", state={{"n": number}})
        row = table.handle(session_id, "api")
        row.update_state({{"m": number}})
        row.memory_pool_id = [number]
        if number % 3 == 0:
            table.delete(session_id)
        elif number % 3 == 1:
            table.create(session_id)
    del row
    now[0] += 10 * 10**9
    assert table.sweep_all() == 3_333
    gc.collect()
    sizes.append(tracemalloc.get_traced_memory()[0])
assert max(sizes[2:]) - sizes[1] < 20_000, sizes
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100, cwd=tmp_path)
