"""Fill and empty one table again and again: churn.py PACKAGE SESSIONS ROUNDS SECONDS [resident].

After each round whatever the sessions referred to is referred to as often as before, and after the
second, with `resident`, the process does not grow and has given most of its memory back.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys
from pathlib import Path
from typing import Any

SECOND = 10**9
MOST_GROWTH = 1.02
MOST_KEPT = 0.5
ARENAS = 4 << 20  # bytes that the interpreter may keep or not, as it happens
RESIDENT = Path("/proc/self/statm").exists()


class Value:
    """Something that only sessions refer to."""


USER, CHANNEL, KEY = "".join(("us", "er")), "".join(("ki", "osk")), "".join(("va", "lue"))
SHARED = (USER, CHANNEL, KEY, Value(), Value())


def references() -> list[int]:
    return [sys.getrefcount(shared) for shared in SHARED]


def resident() -> int:
    """Return the bytes of memory that the process has in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def churn(table: Any, sessions: int, now: list[int]) -> int:
    """Create sessions, use some, delete some, and let the others expire; return the memory used."""
    *_, value, pool = SHARED
    deleted = 0
    for number in range(sessions):
        session_id = table.create(None, USER, None, {KEY: value, "number": number})
        if number % 4 == 0:
            table.update(session_id, {KEY: value, "pool": pool}, CHANNEL)
            assert table.get_state(session_id, CHANNEL)[KEY] is value
        if number % 16 == 0:
            row = table.handle(session_id)
            row.memory_pool_id = pool
            row.set_channel(CHANNEL, now[0])
        if number % 32 == 0:
            table.create(session_id, USER, None, {KEY: value})
        if number % 8 == 0:
            assert table.delete(session_id)
            deleted += 1
    assert len(table) == sessions - deleted
    used = resident() if RESIDENT else 0
    now[0] += 20 * SECOND
    assert table.sweep_all() == sessions - deleted
    assert len(table) == 0
    return used


def main(package: str, sessions: int, rounds: int, seconds: float, watch: bool) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True)
    now = [SECOND]
    tables = importlib.import_module(f"{package}.session_table").SessionTable
    table = tables(10, capacity=sessions, clock=lambda: now[0])
    table.create("s")
    table.touch("s", CHANNEL)  # which the table knows by name from then on
    table.delete("s")
    unused, sizes = references(), []
    empty = resident() if watch else 0
    for _ in range(rounds):
        full = churn(table, sessions, now)
        gc.collect()
        assert references() == unused, (references(), unused)
        if watch:
            sizes.append(resident())
    sys.stdout.write(f"{rounds} rounds of {sessions} sessions, resident bytes: {sizes}\n")
    assert not watch or sizes[-1] - empty <= MOST_KEPT * (full - empty) + ARENAS, (
        empty,
        full,
        sizes,
    )
    assert all(size <= MOST_GROWTH * sizes[1] + ARENAS for size in sizes[2:]), sizes


if __name__ == "__main__":
    package, sessions, rounds, seconds, *watched = sys.argv[1:]
    main(package, int(sessions), int(rounds), float(seconds), watched == ["resident"])
