from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import math
import pathlib
import re
import types
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest

NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 - naive on purpose


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias
    BLUE = 2


class OtherColour(enum.Enum):
    RED = 1


class Word(str, enum.Enum):
    RED = "RED"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Point(NamedTuple):
    x: int
    y: int


class OtherPoint(NamedTuple):
    x: int
    y: int


Legacy = collections.namedtuple("Legacy", ["x", "y"])


@dataclasses.dataclass
class Base:
    name: str = "a"
    hidden: int = dataclasses.field(default=0, compare=False, repr=False)
    shared: dataclasses.InitVar[int] = 0
    kind = "not a field"


@dataclasses.dataclass
class Derived(Base):
    extra: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    a: int = 1
    b: str = "x"


@dataclasses.dataclass(eq=False)
class Identity:
    a: int = 1


class Model(pydantic.BaseModel):
    name: str = "a"
    size: int = pydantic.Field(default=1, alias="length")
    inner: Slotted | None = None
    _client: object = pydantic.PrivateAttr(default_factory=object)


class OpenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    size: int = pydantic.Field(default=1, alias="length")


class Root(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Validated:
    a: int = 1


class Record(msgspec.Struct):
    a: int = 1
    b: str = "x"


class TaggedRecord(Record, tag=True, frozen=True):
    c: float = 0.5


class Custom:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __cache_key__(self) -> Any:
        return self.state


class DerivedCustom(Custom):
    pass


class Calling:
    def __init__(self, cache_key: Callable[..., str], inner: object) -> None:
        self.cache_key = cache_key
        self.inner = inner

    def __cache_key__(self) -> str:
        return self.cache_key([self.inner], "é")


class Text(str):
    __slots__ = ()

    def __cache_key__(self) -> str:
        return str(self)


@functools.lru_cache(maxsize=1)
def cached() -> int:
    return 1


def plain() -> int:
    return 1


class Outer:
    class Inner:
        pass

    def method(self) -> None:
        """A function found through its class."""


def distinct(core: Any, *values: Any) -> bool:
    keys = {core.module("cache_key").cache_key(value) for value in values}
    return len(keys) == len(values)


def test_enumeration_members_carry_their_class_and_name(core):
    cache_key = core.module("cache_key").cache_key
    assert distinct(core, Colour.RED, Colour.BLUE, OtherColour.RED, Word.RED, "RED", 1, Colour)
    assert cache_key(Colour.RED) == cache_key(Colour.CRIMSON) == cache_key(Colour(1))


def test_combined_flags(core):
    cache_key = core.module("cache_key").cache_key
    assert distinct(core, Access(0), Access.READ, Access.WRITE, Access.BOTH, 3)
    assert distinct(core, re.IGNORECASE, re.IGNORECASE | re.MULTILINE, re.MULTILINE)
    assert cache_key(Access.READ | Access.WRITE) == cache_key(Access.BOTH)


def test_named_tuples_carry_their_class(core):
    assert distinct(core, (1, 2), Point(1, 2), Point(2, 1), OtherPoint(1, 2), Legacy(1, 2), [1, 2])


def test_dataclasses_carry_their_class_and_every_field(core):
    cache_key = core.module("cache_key").cache_key
    assert distinct(
        core,
        Base(),
        Base("b"),
        Base(hidden=1),
        Derived(),
        Derived(extra=[1]),
        Slotted(),
        Slotted(a=2),
        Identity(),
        Validated(),
        {"a": 1},
    )
    assert cache_key(Derived("a", 0, 7, [])) == cache_key(Derived())
    assert cache_key(Identity()) == cache_key(Identity())


def test_attributes_beyond_the_fields_of_a_dataclass_do_not_count(core):
    cache_key = core.module("cache_key").cache_key
    value = Base()
    before = cache_key(value)
    value.scratch = 1
    assert cache_key(value) == before


def test_pydantic_models_count_fields_and_extras_only(core):
    cache_key = core.module("cache_key").cache_key
    assert distinct(
        core,
        Model(),
        Model(name="b"),
        Model(length=2),
        Model(inner=Slotted()),
        Model(inner=Slotted(a=2)),
        OpenModel(),
        OpenModel(length=2),
        OpenModel(size=2),
        OpenModel(length=2, size=2),
        OpenModel(note="x"),
        Root([1, 2]),
        Root([2, 1]),
    )
    assert cache_key(Model()) == cache_key(Model())
    assert cache_key(OpenModel(x=1, y=2)) == cache_key(OpenModel(y=2, x=1))


def test_msgspec_structs_carry_their_class_and_fields(core):
    assert distinct(core, Record(), Record(a=2), TaggedRecord(), TaggedRecord(c=1.5), Slotted())


def test_classes_and_functions_count_by_name(core):
    cache_key = core.module("cache_key").cache_key
    named = [Outer, Outer.Inner, Outer.method, plain, cached, len, math.sin, dict, Colour, Model]
    assert distinct(core, *named, *(f"{item.__module__}.{item.__qualname__}" for item in named))
    assert cache_key(Outer.Inner) == cache_key(Outer.Inner)


def test_cache_key_method_decides_and_the_class_counts(core):
    cache_key = core.module("cache_key").cache_key
    assert distinct(core, Custom(1), Custom(2), Custom([1]), DerivedCustom(1), 1, Text("1"), "1")
    assert cache_key(Custom({"b": 1, "a": 2})) == cache_key(Custom({"a": 2, "b": 1}))


def test_cache_key_method_may_call_cache_key(core):
    cache_key = core.module("cache_key").cache_key

    def nest(depth: int) -> Calling:
        return Calling(cache_key, {depth: nest(depth - 1)} if depth else "x" * 5000)

    left = {"a" * 100: nest(5), "b": {"é"}, "c": nest(2)}
    right = {"c": nest(2), "b": {"é"}, "a" * 100: nest(5)}
    assert cache_key(left) == cache_key(right)
    assert distinct(core, left, {**left, "c": nest(3)})


@pytest.mark.parametrize(
    "values",
    [
        (Decimal("1.0"), Decimal("1.00"), Decimal(1), 1, 1.0, Decimal("Infinity")),
        (NEW_YEAR, NEW_YEAR.replace(fold=1), NEW_YEAR.isoformat(), NEW_YEAR.date()),
        (
            NEW_YEAR.replace(tzinfo=timezone.utc),
            NEW_YEAR.replace(hour=1, tzinfo=timezone(timedelta(hours=1))),
            NEW_YEAR,
        ),
        (timezone.utc, timezone(timedelta(0), "Z"), timedelta(0)),
        (
            pathlib.PurePosixPath("a"),
            pathlib.PureWindowsPath("a"),
            pathlib.Path("a"),
            "a",
        ),
        (re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a"), "a"),
        (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}),
        (types.MappingProxyType({"a": 1}), types.SimpleNamespace(a=1), {"a": 1}),
        (1j, -1j, complex(-0.0, 1), 1.0),
        (range(3), range(0, 3, 2), [0, 1, 2]),
    ],
)
def test_standard_types_are_told_apart(core, values):
    assert distinct(core, *values)


def test_decimal_contexts_do_not_show(core):
    cache_key = core.module("cache_key").cache_key
    expected = cache_key(Decimal("1E+400"))
    with localcontext() as context:
        context.capitals = 0
        context.prec = 3
        assert cache_key(Decimal("1E+400")) == expected


def test_paths_are_equal_when_pathlib_says_so(core):
    cache_key = core.module("cache_key").cache_key
    assert cache_key(pathlib.Path("a//b/./c")) == cache_key(pathlib.Path("a") / "b" / "c")
    assert cache_key(pathlib.PureWindowsPath("a\\b")) == cache_key(pathlib.PureWindowsPath("a/b"))
