"""What a session table does, on both implementations."""

from __future__ import annotations

import re

import pytest

from kaizen_nexus._errors import SessionTableFullError

SECOND = 1_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make(core, clock):
    """Make tables on the fake clock."""

    def make(ttl=60.0, **options):
        return core.module("session_table").SessionTable(ttl, clock=clock, **options)

    return make


def test_a_session_is_created_read_and_updated(make):
    table = make()
    session_id = table.create(user_id="ada", state={"step": 1})

    assert re.fullmatch("[0-9a-f]{32}", session_id)
    assert session_id in table
    assert len(table) == 1
    assert table.update(session_id, {"step": 2, "name": "x"})
    assert table.get_state(session_id) == {"step": 2, "name": "x"}
    assert table.handle(session_id).user_id == "ada"


def test_ids_are_distinct_over_many_blocks_of_random_bytes(make):
    table = make()
    ids = {table.create() for _ in range(2_000)}
    assert len(ids) == len(table) == 2_000
    assert set(table.ids()) == set(table) == ids


def test_the_returned_state_is_a_copy_and_the_given_one_too(make):
    table = make()
    given = {"a": 1}
    session_id = table.create(state=given)
    given["a"] = 2
    table.get_state(session_id)["a"] = 3
    assert table.get_state(session_id) == {"a": 1}

    fresh = table.create()
    updates = {"b": 1}
    table.update(fresh, updates)
    updates["b"] = 2
    assert table.get_state(fresh) == {"b": 1}


def test_updates_may_be_the_live_state_itself_or_any_mapping(make):
    table = make()
    session_id = table.create(state={"a": 1})
    live = table.handle(session_id).state
    assert table.update(session_id, live)
    assert table.update(session_id, [("b", 2)])
    many = {f"k{number}": number for number in range(40)}
    assert table.update(session_id, many)
    assert table.update(session_id, many)
    assert table.get_state(session_id) == {"a": 1, "b": 2, **many}


@pytest.mark.parametrize("missing", ["nope", "", "x" * 1000, None, 5, b"nope", ["a"], {}])
def test_what_is_no_session_id_finds_nothing(make, missing):
    table = make()
    table.create("there")
    assert missing not in table
    assert table.get_state(missing) is None
    assert table.get_state(missing, "api") is None
    assert table.handle(missing) is None
    assert table.peek(missing) is None
    assert not table.touch(missing)
    assert not table.update(missing, {"a": 1}, "api")
    assert not table.delete(missing)
    assert table.metrics()["channels_used"] == []


def test_a_str_subclass_is_taken_for_its_value(make):
    class Id(str):
        __slots__ = ()
        __hash__ = None  # a table that hashed the subclass itself would fail

    table = make()
    assert type(table.create(Id("s"), Id("ada"), state={"k": 1})) is str
    assert table.get_state(Id("s"), Id("api")) == {"k": 1}
    assert table.metrics()["channels_used"] == ["api"]
    assert type(table.peek("s").user_id) is str


def test_every_access_slides_the_expiry_by_the_sessions_own_ttl(make, clock):
    table = make(ttl=60)
    table.create("default")
    table.create("short", ttl=10)
    accesses = (
        lambda key: table.get_state(key) is not None,
        table.touch,
        lambda key: table.update(key, {}),
        lambda key: table.handle(key) is not None,
    )
    for access in accesses:
        clock.tick(9)
        assert access("short")
    clock.tick(10)
    assert not table.touch("short")
    assert table.touch("default")
    clock.tick(59.999999999)
    assert "default" in table
    clock.tick(0.000000001)
    assert "default" not in table


def test_membership_and_peeking_slide_nothing(make, clock):
    table = make(ttl=10)
    table.create("s")
    clock.tick(9)
    assert "s" in table
    assert table.peek("s").expires == clock.now + SECOND
    clock.tick(1)
    assert "s" not in table


def test_an_expired_session_is_never_returned_but_held_until_swept(make, clock):
    table = make(ttl=1)
    table.create("s", state={"a": 1})
    clock.tick(1)
    assert table.get_state("s") is None
    assert not table.update("s", {"a": 2})
    assert not table.touch("s")
    assert table.handle("s") is None
    assert len(table) == 1
    assert table.peek("s").state == {"a": 1}
    assert table.sweep_all() == 1
    assert len(table) == 0
    assert table.peek("s") is None


def test_creating_an_id_again_replaces_the_session(make, clock):
    table = make(ttl=10)
    table.create("s", "ada", state={"a": 1})
    old = table.peek("s")
    table.create("s", "bob")
    assert len(table) == 1
    assert table.get_state("s") == {}
    assert table.peek("s").user_id == "bob"
    assert (old.user_id, old.state, old.attached) == ("ada", {"a": 1}, False)

    clock.tick(10)
    table.create("s")
    figures = table.metrics()
    assert (figures["created"], figures["replaced"], figures["expired"]) == (3, 1, 1)


def test_delete_says_whether_there_was_a_live_session(make, clock):
    table = make(ttl=1)
    table.create("a")
    table.create("b")
    assert table.delete("a")
    assert not table.delete("a")
    clock.tick(1)
    assert not table.delete("b")
    assert len(table) == 0
    figures = table.metrics()
    assert (figures["deleted"], figures["expired"]) == (1, 1)


def test_clear_removes_everything_and_slots_are_used_again(make):
    table = make(capacity=1_000)
    for _ in range(3):
        for number in range(1_000):
            table.create(f"s{number}")
        assert table.clear() == 1_000
        assert len(table) == 0
        assert table.ids() == []
    assert table.metrics()["deleted"] == 3_000


def test_a_full_table_refuses_and_says_what_to_do(make, clock):
    table = make(ttl=10, capacity=2)
    table.create("a")
    table.create("b")
    with pytest.raises(SessionTableFullError, match="on_full='evict'"):
        table.create("c")
    assert table.ids() == ["a", "b"]
    assert table.create("a") == "a"  # a replacement needs no room
    clock.tick(5)
    table.touch("b")
    clock.tick(5)
    table.create("c")  # takes the place of a, which has expired
    assert set(table.ids()) == {"b", "c"}
    with pytest.raises(SessionTableFullError):
        table.create("d")
    figures = table.metrics()
    assert (figures["refused"], figures["expired"], figures["evicted"]) == (2, 1, 0)


def test_room_is_found_after_an_expiry_was_brought_forward(make, clock):
    table = make(ttl=3600, capacity=1)
    table.create("a")
    with pytest.raises(SessionTableFullError):
        table.create("b")
    table.peek("a").expires = clock.now
    table.create("b")
    assert table.ids() == ["b"]

    table.peek("b").expires = clock.now + 10_000 * SECOND
    with pytest.raises(SessionTableFullError):
        table.create("c")
    table.touch("b")  # back to its own TTL
    clock.tick(3600)
    table.create("c")
    assert table.ids() == ["c"]


def test_a_full_table_evicts_the_least_recently_used(make, clock):
    table = make(ttl=1000, capacity=3, on_full="evict")
    for name in "abc":
        table.create(name)
    table.get_state("a")
    table.peek("b").refresh()
    table.create("d")
    assert set(table.ids()) == {"a", "b", "d"}
    table.create("e", ttl=5)
    assert set(table.ids()) == {"b", "d", "e"}
    clock.tick(5)
    table.create("f")  # e has expired and goes before b, which was used earlier
    assert set(table.ids()) == {"b", "d", "f"}
    figures = table.metrics()
    assert (figures["evicted"], figures["expired"], figures["refused"]) == (2, 1, 0)


def test_the_seventeenth_channel_is_refused_and_changes_nothing(make, clock):
    table = make()
    table.create("s", state={"a": 1})
    for number in range(16):
        assert table.get_state("s", f"channel {number}") == {"a": 1}
    before = table.peek("s").accessed
    clock.tick(1)
    for refused in (
        lambda: table.get_state("s", "one more"),
        lambda: table.touch("s", "one more"),
        lambda: table.update("s", {"a": 2}, "one more"),
        lambda: table.handle("s", "one more"),
        lambda: table.peek("s").refresh("one more"),
        lambda: table.peek("s").set_channel("one more", 1),
    ):
        with pytest.raises(ValueError, match="'one more' would be number 17: at most 16"):
            refused()
    assert table.peek("s").accessed == before
    assert table.touch("s", "channel 3")
    assert len(table.metrics()["channels_used"]) == 16


def test_channel_names_of_missing_sessions_take_no_room(make):
    table = make()
    for number in range(100):
        assert table.get_state("nope", f"channel {number}") is None
    table.create("s")
    assert table.touch("s", "api")
    assert table.metrics()["channels_used"] == ["api"]


def test_metrics_count_live_rows_their_ttls_and_channels(make, clock):
    table = make(ttl=60)
    assert table.metrics() == {
        "active": 0,
        "total": 0,
        "average_ttl_seconds": 0.0,
        "channels_used": [],
        "created": 0,
        "replaced": 0,
        "expired": 0,
        "deleted": 0,
        "evicted": 0,
        "refused": 0,
    }
    table.create("a")
    table.create("b", ttl=30)
    table.create("c", ttl=1.5)
    table.touch("a", "mcp")
    table.touch("c", "api")
    clock.tick(2)
    figures = table.metrics()
    assert (figures["active"], figures["total"]) == (2, 3)
    assert figures["average_ttl_seconds"] == 45.0
    assert figures["channels_used"] == ["api", "mcp"]
    table.sweep_all()
    assert table.metrics()["channels_used"] == ["mcp"]
    table.peek("a").set_channel("mcp", None)
    assert table.metrics()["channels_used"] == []


def test_metrics_survive_the_longest_ttls(make):
    century = 3_155_760_000
    table = make(ttl=century)
    for _ in range(10):
        table.create()
    assert table.metrics()["average_ttl_seconds"] == century


def test_a_sweep_goes_on_where_the_last_slice_stopped(make, clock):
    table = make(ttl=10)
    for number in range(2_000):
        table.create(f"s{number}", ttl=10 if number % 2 else 1000)
    clock.tick(10)
    total, slices, done = 0, 0, False
    while not done:
        removed, done = table.sweep(max_rows=100, budget=60)
        assert removed <= 100
        total += removed
        slices += 1
    assert total == 1_000
    assert slices == 20
    assert table.sweep(budget=60) == (0, True)


def test_a_slice_without_time_still_makes_progress(make, clock):
    table = make(ttl=1)
    for _ in range(1_000):
        table.create()
    clock.tick(1)
    removed, done = table.sweep(budget=0)
    assert 0 < removed < 1_000
    assert not done
    while not done:
        _, done = table.sweep(budget=0)
    assert len(table) == 0


def test_a_slice_skips_what_was_refreshed_since_the_pass_began(make, clock):
    table = make(ttl=10)
    ids = [table.create() for _ in range(300)]
    clock.tick(9)
    assert table.sweep(max_rows=100) == (0, False)
    for session_id in ids[100:200]:
        table.touch(session_id)
    clock.tick(1)
    assert table.sweep(max_rows=100) == (0, False)
    assert table.sweep(max_rows=100) == (100, True)
    assert table.sweep_all() == 100
    assert set(table.ids()) == set(ids[100:200])


def test_a_table_grows_over_many_chunks_and_keeps_every_row(make, clock):
    table = make(ttl=10)
    count = 40_000
    for number in range(count):
        table.create(f"s{number}", state={"n": number}, ttl=10 if number % 3 else 100)
        if number == 20_000:
            assert table.touch("s0", "api")
    assert all(table.get_state(f"s{n}", "cli") == {"n": n} for n in range(0, count, 97))
    assert table.peek("s0").channels().keys() == {"api", "cli"}
    clock.tick(10)
    expired = sum(1 for number in range(count) if number % 3)
    assert table.metrics()["active"] == count - expired
    assert table.sweep_all() == expired
    assert table.get_state("s39999") == {"n": 39_999}
    assert len(table) == count - expired


def test_the_order_of_use_and_the_earliest_expiry_span_chunks(make, clock):
    evicting = make(ttl=100, capacity=20_000, on_full="evict")
    for number in range(25_000):
        evicting.create(f"s{number}")
        if number % 1_000 == 999:
            assert evicting.touch("s7")
    kept = {"s7"} | {f"s{number}" for number in range(5_001, 25_000)}
    assert set(evicting.ids()) == kept

    refusing = make(ttl=100, capacity=20_000)
    for number in range(20_000):
        refusing.create(f"s{number}")
    with pytest.raises(SessionTableFullError):
        refusing.create("late")
    refusing.peek("s18000").expires = clock.now
    refusing.create("late")
    assert "late" in refusing
    assert refusing.peek("s18000") is None
    clock.tick(100)
    refusing.create("later")  # takes the place of some of those that have expired
    assert 19_000 < len(refusing) < 20_000


def test_the_built_in_clock_is_monotonic_and_in_nanoseconds(core):
    table = core.module("session_table").SessionTable()
    first, second = table.now(), table.now()
    assert 0 < first <= second < first + 60 * SECOND
    assert table.peek(table.create()).expires >= second + 3600 * SECOND


def test_the_arguments_can_be_read_back(make):
    table = make(ttl=90, capacity=7, on_full="evict")
    assert (table.ttl, table.capacity, table.on_full) == (90.0, 7, "evict")
