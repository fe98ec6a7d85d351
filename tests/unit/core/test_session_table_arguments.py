"""Both implementations refuse the same arguments with the same words."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

BAD_TTLS = [
    (float("nan"), ValueError, "ttl must be finite, not nan"),
    (float("inf"), ValueError, "ttl must be finite, not inf"),
    (-1, ValueError, "ttl must be positive, not -1"),
    (0, ValueError, "ttl must be positive, not 0"),
    (True, ValueError, "ttl must be a number, not the bool True"),
    (10**10, ValueError, "ttl must be at most 3155760000, not 10000000000"),
    (2**63, ValueError, "ttl must be at most 3155760000, not 9223372036854775808"),
    pytest.param(
        10**5000, ValueError, "ttl must be at most 3155760000, not an int of 16610", id="huge"
    ),
    pytest.param(
        -(10**5000), ValueError, "ttl must be positive, not an int of 16610 bits", id="-huge"
    ),
    pytest.param(Fraction(10**5000), ValueError, "ttl must be finite, not inf", id="huge/1"),
    (1e300, ValueError, "ttl must be at most 3155760000, not 1e+300"),
    ("60", TypeError, "ttl must be a number, not str"),
    ([], TypeError, "ttl must be a number, not list"),
    (1j, TypeError, "ttl must be a number, not complex"),
]


@pytest.fixture
def tables(core):
    return core.module("session_table").SessionTable


def new_session(tables, *arguments, **options):
    return import_module(tables.__module__).SessionHandle(*arguments, **options)


@pytest.mark.parametrize(("ttl", "error", "message"), BAD_TTLS)
def test_a_ttl_is_checked_before_any_arithmetic(tables, ttl, error, message):
    with pytest.raises(error) as raised:
        tables(ttl)
    assert str(raised.value).startswith(message)
    table = tables()
    with pytest.raises(error) as raised:
        table.create("s", ttl=ttl)
    assert str(raised.value).startswith(message)
    assert len(table) == 0
    with pytest.raises(error):
        new_session(tables, ttl=ttl)


@pytest.mark.parametrize(
    ("ttl", "nanoseconds"),
    [
        (1, 10**9),
        (0.25, 250_000_000),
        (1e-12, 1),
        (3_155_760_000, 3_155_760_000 * 10**9),
        (Fraction(1, 2), 500_000_000),
        (Decimal("1.5"), 1_500_000_000),
        (np.float32(0.5), 500_000_000),
        (np.int64(2), 2_000_000_000),
    ],
)
def test_a_ttl_is_any_real_number_of_seconds(tables, ttl, nanoseconds):
    table = tables(ttl)
    row = table.create_handle()
    assert row.expires - row.created == nanoseconds
    assert row.ttl == nanoseconds / 10**9


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"capacity": 0}, ValueError, "capacity must be between 1 and 1073741824, not 0"),
        ({"capacity": 2**31}, ValueError, "capacity must be between 1 and 1073741824, not"),
        ({"capacity": 10**30}, ValueError, "capacity must be between 1 and 1073741824, not"),
        ({"capacity": True}, TypeError, "capacity must be an int, not bool"),
        ({"capacity": 1.0}, TypeError, "capacity must be an int, not float"),
        ({"on_full": "drop"}, ValueError, "on_full must be 'refuse' or 'evict', not 'drop'"),
        ({"on_full": None}, ValueError, "on_full must be 'refuse' or 'evict', not None"),
        ({"clock": 5}, TypeError, "clock must be callable or None, not int"),
    ],
)
def test_options_of_the_table(tables, options, error, message):
    with pytest.raises(error) as raised:
        tables(**options)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("reading", "error", "message"),
    [
        (1.5, TypeError, "clock must return an int of nanoseconds, not float"),
        (None, TypeError, "clock must return an int of nanoseconds, not NoneType"),
        (True, TypeError, "clock must return an int of nanoseconds, not bool"),
        (-1, ValueError, "clock must return between 0 and 2**62 nanoseconds, not -1"),
        (2**62 + 1, ValueError, "clock must return between 0 and 2**62 nanoseconds, not 46"),
        (2**200, ValueError, "clock must return between 0 and 2**62 nanoseconds, not an int"),
    ],
)
def test_what_a_clock_may_return(tables, reading, error, message):
    table = tables(clock=lambda: reading)
    for call in (
        table.create,
        table.now,
        table.metrics,
        table.sweep,
        table.sweep_all,
        lambda: table.get_state("s"),
        lambda: table.update("s", {}),
        lambda: table.touch("s"),
        lambda: table.delete("s"),
        lambda: "s" in table,
    ):
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value).startswith(message)
    assert len(table) == 0


def test_the_latest_reading_and_the_longest_ttl_still_fit(tables):
    table = tables(3_155_760_000, clock=lambda: 2**62)
    row = table.create_handle()
    assert row.expires == 2**62 + 3_155_760_000 * 10**9
    assert table.get_state(row.session_id) == {}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"session_id": 5}, TypeError, "session_id must be a str, not int"),
        ({"session_id": b"s"}, TypeError, "session_id must be a str, not bytes"),
        ({"session_id": ""}, ValueError, "session_id must have between 1 and 256 characters, not"),
        ({"session_id": "x" * 257}, ValueError, "session_id must have between 1 and 256"),
        ({"user_id": None}, TypeError, "user_id must be a str, not NoneType"),
        ({"state": 5}, TypeError, "state must be a mapping, not int"),
        ({"state": "ab"}, TypeError, "state must be a mapping, not str"),
        ({"state": {1: 2}}, TypeError, "state must have str keys, not int"),
        ({"state": {"a": 1, None: 2}}, TypeError, "state must have str keys, not NoneType"),
    ],
)
def test_arguments_of_create(tables, arguments, error, message):
    table = tables()
    for create in (table.create, table.create_handle):
        with pytest.raises(error) as raised:
            create(**arguments)
        assert str(raised.value).startswith(message)
    assert len(table) == 0


@pytest.mark.parametrize(
    ("channel", "error", "message"),
    [
        ("", ValueError, "channel must have between 1 and 64 characters, not 0"),
        ("x" * 65, ValueError, "channel must have between 1 and 64 characters, not 65"),
        (5, TypeError, "channel must be a str, not int"),
        (["api"], TypeError, "channel must be a str, not list"),
    ],
)
def test_channel_names(tables, channel, error, message):
    table = tables()
    table.create("s")
    detached = new_session(tables, "d")
    for call in (
        lambda: table.get_state("s", channel),
        lambda: table.get_state("missing", channel),
        lambda: table.get_state(5, channel),
        lambda: table.touch("s", channel),
        lambda: table.update("s", {}, channel),
        lambda: table.handle("s", channel),
        lambda: table.peek("s").refresh(channel),
        lambda: table.peek("s").set_channel(channel, 1),
        lambda: detached.refresh(channel),
        lambda: detached.get_state(channel),
        lambda: detached.update_state({}, channel),
    ):
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value) == message
    assert table.metrics()["channels_used"] == []


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        (None, "updates must be a mapping, not NoneType"),
        ({1: 2}, "updates must have str keys, not int"),
        ({"a": 1, ("b",): 2}, "updates must have str keys, not tuple"),
        ([1, 2], "updates must be a mapping, not list"),
    ],
)
def test_updates_are_all_or_nothing(tables, updates, message):
    table = tables()
    table.create("s", state={"a": 0})
    for call in (
        lambda: table.update("s", updates),
        lambda: table.update("missing", updates),
        lambda: table.peek("s").update_state(updates),
        lambda: new_session(tables).update_state(updates),
    ):
        with pytest.raises(TypeError) as raised:
            call()
        assert str(raised.value) == message
    assert table.get_state("s") == {"a": 0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_rows": 0}, ValueError, "max_rows must be between 1 and 1073741824, not 0"),
        ({"max_rows": 1.5}, TypeError, "max_rows must be an int, not float"),
        ({"budget": -1}, ValueError, "budget must be between 0 and 3155760000 seconds, not -1"),
        ({"budget": float("nan")}, ValueError, "budget must be finite, not nan"),
        ({"budget": 1e300}, ValueError, "budget must be between 0 and 3155760000 seconds, not"),
        ({"budget": "1"}, TypeError, "budget must be a number, not str"),
    ],
)
def test_arguments_of_sweep(tables, arguments, error, message):
    with pytest.raises(error) as raised:
        tables().sweep(**arguments)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", ["created", "accessed", "expires"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(1.5, TypeError), ("now", TypeError), (True, TypeError), (2**62 + 1, ValueError)],
)
def test_times_set_through_a_handle(tables, name, value, error):
    table = tables()
    row = table.create_handle()
    with pytest.raises(error, match=f"^{name} must be"):
        setattr(row, name, value)
    with pytest.raises(error, match=r"^time must be"):
        row.set_channel("api", value)


def test_a_session_begins_once(core, tables):
    handles = core.module("session_table").SessionHandle
    row = handles("s")
    with pytest.raises(RuntimeError, match="initialised only once"):
        row.__init__("t")
    assert row.session_id == "s"
    with pytest.raises(ValueError, match="the session was not initialised"):
        tables().adopt(handles.__new__(handles))
    for kind in (int, 5, None):
        with pytest.raises(TypeError, match="handles must be a subclass of SessionHandle, not"):
            tables(handles=kind)
    with pytest.raises(TypeError, match=r"^handle must be a SessionHandle, not str$"):
        tables().adopt("s")
