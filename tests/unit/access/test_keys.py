"""API keys: the file, the store that follows it, and what is kept of a key."""

from __future__ import annotations

import json
import logging
import stat
import threading
from pathlib import Path

import pytest

from kaizen_nexus.access.keyfile import MAX_KEYS, create_key, list_keys, revoke_key
from kaizen_nexus.access.keys import CHECK_SECONDS, KeyStore

DAY = 86_400


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def pass_check(self) -> None:
        self.now += CHECK_SECONDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_its_owners(path: Path) -> None:
    key, kept = create_key(path, "ada", ["assistant", "assistant", "faq"])
    caller = KeyStore(path).find(key)
    assert caller is not None
    assert caller.id == "key:ada"
    assert caller.scopes == {"assistant", "faq"}
    assert caller.authenticated
    assert kept.scopes == ("assistant", "faq")


def test_the_scope_for_everything_includes_all_others(path: Path) -> None:
    key, _ = create_key(path, "ada", ["faq", "*"])
    caller = KeyStore(path).find(key)
    assert caller is not None
    assert caller.scopes is None


def test_only_a_hash_is_kept_where_only_its_owner_can_read_it(path: Path) -> None:
    key, kept = create_key(path, "ada", ["faq"])
    secret = key.removeprefix(f"kn_{kept.id}_")
    assert len(secret) == 43  # 256 bits
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_other_keys_are_nobodys(path: Path) -> None:
    key, kept = create_key(path, "ada", ["faq"])
    store = KeyStore(path)
    other, _ = create_key(path.with_name("other.json"), "eve", ["*"])
    last = "A" if key[-1] != "A" else "B"
    wrong = [
        other,
        key[:-1],
        key + "A",
        key[:-1] + last,
        f"kn_{kept.id}_{'A' * 43}",
        "kn_",
        "",
        "é",
    ]
    assert [store.find(each) for each in wrong] == [None] * len(wrong)


def test_a_key_that_is_revoked_or_made_counts_within_a_second(path: Path, clock: Clock) -> None:
    first, kept = create_key(path, "ada", ["faq"])
    store = KeyStore(path, clock=clock)
    second, _ = create_key(path, "bob", ["faq"])
    assert revoke_key(path, kept.id)
    assert store.find(first) is not None
    clock.pass_check()
    assert store.find(first) is None
    assert store.find(second) is not None
    assert not revoke_key(path, kept.id)


def test_a_key_expires(path: Path) -> None:
    wall = Clock()
    key, _ = create_key(path, "ada", ["faq"], 2, wall_clock=wall)
    store = KeyStore(path, wall_clock=wall)
    wall.now += 2 * DAY - 1
    assert store.find(key) is not None
    wall.now += 1
    assert store.find(key) is None


def test_a_missing_file_lets_nobody_in_and_says_how_to_make_one(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore(path, clock=clock)
    assert "nexus keys create" in caplog.text
    assert store.find(f"kn_{'0' * 16}_{'A' * 43}") is None
    key, _ = create_key(path, "ada", ["faq"])
    clock.pass_check()
    assert store.find(key) is not None
    path.unlink()
    clock.pass_check()
    assert store.find(key) is None


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "{}", '{"format": 2, "keys": []}', '{"format": 1, "keys": [1]}']
)
def test_a_file_of_something_else_lets_nobody_in(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    key, _ = create_key(path, "ada", ["faq"])
    store = KeyStore(path, clock=clock)
    path.write_text(text)
    clock.pass_check()
    assert store.find(key) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with pytest.raises(ValueError, match="nexus keys"):
        create_key(path, "bob", ["faq"])
    assert path.read_text() == text


def test_writers_wait_for_each_other(path: Path) -> None:
    writers = [
        threading.Thread(target=create_key, args=(path, f"user{i}", ["faq"])) for i in range(16)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {key.name for key in list_keys(path)} == {f"user{i}" for i in range(16)}


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", ["faq"], None),
        ("a b", ["faq"], None),
        ("ada\n", ["faq"], None),
        ("ada", [], None),
        ("ada", ["a b"], None),
        ("ada", ["nexus:admin"], None),
        ("ada", ["faq"], 0),
        ("ada", ["faq"], float("nan")),
        ("ada", ["faq"], 1e9),
    ],
)
def test_what_makes_no_key(path: Path, name: str, scopes: list[str], days: float | None) -> None:
    with pytest.raises(ValueError, match=r"key|name"):
        create_key(path, name, scopes, days)
    assert not path.exists()


def test_the_number_of_keys_is_bounded(path: Path) -> None:
    create_key(path, "ada", ["faq"])
    document = json.loads(path.read_text())
    (key,) = document["keys"]
    document["keys"] = [{**key, "id": f"{i:016x}"} for i in range(MAX_KEYS)]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="revoke some"):
        create_key(path, "bob", ["faq"])
