from __future__ import annotations

import random
import threading
from hashlib import blake2b
from itertools import combinations, pairwise, product
from typing import Any

import pytest

CONFUSABLE = [
    None,
    True,
    False,
    0,
    1,
    -1,
    0.0,
    -0.0,
    1.0,
    float("inf"),
    float("-inf"),
    "",
    "1",
    "None",
    "True",
    b"",
    b"1",
    bytearray(b"1"),
    1 + 0j,
    [],
    (),
    {},
    set(),
    frozenset(),
    range(0),
]
ATOMS = (None, True, 1, 1.0, "", "1", "a", b"a")


def small_world() -> list[Any]:
    """Every container of up to two of the atoms, and containers of those containers."""
    runs = [run for size in (0, 1, 2) for run in product(ATOMS, repeat=size)]
    keys = [key for key in ATOMS if key != 1 or key is True]
    flat: list[Any] = [*map(list, runs), *runs]
    flat += [{key: value} for key, value in product(keys, ATOMS)]
    flat += [dict(zip(pair, ("", "1"), strict=True)) for pair in combinations(keys, 2)]
    flat += [make(pair) for make in (set, frozenset) for pair in combinations(keys, 2)]
    return [*flat, *([item] for item in flat), *((item, "a") for item in flat)]


def test_key_is_the_tagged_blake2b_of_the_encoding(core):
    module = core.module("cache_key")
    values = ("agent", {"temperature": 0.7, "tools": ["search", None]})
    expected = blake2b(module.encode(*values), digest_size=16, person=b"kaizen-nexus/1")
    assert module.cache_key(*values) == expected.hexdigest()
    assert len(module.cache_key(*values)) == 32
    assert module.cache_key(*values).islower()


def test_confusable_values_differ(core):
    cache_key = core.module("cache_key").cache_key
    assert len({cache_key(value) for value in CONFUSABLE}) == len(CONFUSABLE)


def test_how_values_are_grouped_counts(core):
    cache_key = core.module("cache_key").cache_key
    groupings = [
        cache_key(),
        cache_key(()),
        cache_key([]),
        cache_key("a", "bc"),
        cache_key("ab", "c"),
        cache_key("abc"),
        cache_key(("a", "bc")),
        cache_key(("ab", "c")),
        cache_key([["a"], "bc"]),
        cache_key([["a", "bc"]]),
        cache_key({"a": "bc"}),
        cache_key((("a", "bc"),)),
        cache_key({"a": {"b": 1}}),
        cache_key({"a": {}, "b": 1}),
    ]
    assert len(set(groupings)) == len(groupings)


def test_small_world_has_no_collisions_and_no_prefixes(core):
    encode = core.module("cache_key").encode
    world = small_world()
    encodings = sorted(encode(value) for value in world)
    assert len(encodings) > 700
    for shorter, longer in pairwise(encodings):
        assert not longer.startswith(shorter)


@pytest.mark.parametrize(
    "number",
    [0, 1, -1, 255, 256, -256, -257, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, -(2**64)],
)
def test_integers_of_any_size(core, number):
    encode = core.module("cache_key").encode
    magnitude = number if number >= 0 else ~number
    digits = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
    tag = b"I" if number >= 0 else b"J"
    assert encode(number) == b"\x01" + tag + bytes((len(digits),)) + digits


def test_integers_beyond_a_word_are_exact(core):
    encode = core.module("cache_key").encode
    large = 3**5000
    digits = large.to_bytes((large.bit_length() + 7) // 8, "big")
    assert encode(large) == b"\x01I\xf9" + len(digits).to_bytes(2, "big") + digits
    assert encode(large) != encode(large + 1) != encode(-large)


@pytest.mark.parametrize(
    ("size", "prefix"),
    [
        (0, b"\x00"),
        (247, b"\xf7"),
        (248, b"\xf8\xf8"),
        (255, b"\xf8\xff"),
        (256, b"\xf9\x01\x00"),
        (65535, b"\xf9\xff\xff"),
        (65536, b"\xfa\x01\x00\x00"),
    ],
)
def test_sizes_take_the_fewest_bytes(core, size, prefix):
    encode = core.module("cache_key").encode
    assert encode("x" * size) == b"\x01S" + prefix + b"x" * size
    assert encode(b"x" * size) == b"\x01B" + prefix + b"x" * size
    assert encode([None] * size) == b"\x01L" + prefix + b"N" * size
    assert encode(*[None] * size) == prefix + b"N" * size


@pytest.mark.parametrize("string", ["é", "naïve", "\u20ac", "\U0001f600", "a\0b", "e\u0301"])
def test_strings_are_utf_8(core, string):
    data = string.encode()
    assert core.module("cache_key").encode(string) == b"\x01S" + bytes((len(data),)) + data


def test_composed_and_decomposed_strings_differ(core):
    cache_key = core.module("cache_key").cache_key
    assert cache_key("\u00e9") != cache_key("e\u0301")


@pytest.mark.parametrize("count", [2, 5, 16, 17, 33, 64, 65, 300, 1025])
def test_insertion_order_does_not_show(core, count):
    encode = core.module("cache_key").encode
    names = [f"setting.{number}" for number in range(count)]
    expected = encode(dict.fromkeys(names, 1), set(names), {"inner": {k: [1.5] for k in names}})
    shuffled = names.copy()
    for seed in range(5):
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - a repeatable order, not a secret
        other = dict.fromkeys(shuffled, 1), set(shuffled), {"inner": {k: [1.5] for k in shuffled}}
        assert encode(*other) == expected


def test_entries_are_sorted_as_bytes_whatever_the_keys(core):
    encode = core.module("cache_key").encode
    keys = ["a", "b", "aa", "é", "x" * 300, 3, -3, 300, 2.5, None, True, b"a", (1, "a"), (1,)]
    names = sorted(encode(key)[1:] for key in keys)
    encoded = encode(dict.fromkeys(keys))
    assert encoded == b"\x01M" + bytes((len(keys),)) + b"".join(name + b"N" for name in names)
    assert encode(frozenset(keys)) == b"\x01Z" + bytes((len(keys),)) + b"".join(names)


def test_keys_that_agree_in_their_first_bytes_are_still_sorted(core):
    encode = core.module("cache_key").encode
    names = [f"a.long.common.prefix.{number:04}" for number in range(100)]
    encoded = encode(dict.fromkeys(reversed(names), None))
    assert encoded == encode(dict.fromkeys(names))
    assert encoded.index(b"0000") < encoded.index(b"0001") < encoded.index(b"0099")


def test_shared_references_are_no_cycle(core):
    cache_key = core.module("cache_key").cache_key
    shared = {"a": [1]}
    assert cache_key([shared, shared], shared) == cache_key([{"a": [1]}, {"a": [1]}], {"a": [1]})


def test_concurrent_calls_do_not_disturb_each_other(core):
    cache_key = core.module("cache_key").cache_key
    values = [{f"k{i}": [n, f"é{i}", {i}] for i in range(60)} for n in range(4)]
    expected = [cache_key(value) for value in values]
    outcomes: list[list[str]] = [[] for _ in values]
    barrier = threading.Barrier(len(values))

    def work(position: int) -> None:
        barrier.wait(timeout=30)
        outcomes[position].extend(cache_key(values[position]) for _ in range(200))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(values))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert outcomes == [[key] * 200 for key in expected]


def test_both_implementations_explain_themselves_alike(core):
    assert "TypeError" in core.module("cache_key").cache_key.__doc__
    assert core.module("cache_key").__all__ == ["cache_key", "encode"]
