"""What has no canonical encoding, and the words in which both implementations say so."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import io
import threading
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus._core import cache_key as compiled
from kaizen_nexus._fallback import cache_key as pure

NAN = float("nan")
HERE = __name__
BY_NAME = "that name does not lead back to it: define it at the top level of a module"
REMEDY = (
    "make it a dataclass, or give its class a __cache_key__() method that returns "
    "an encodable value"
)


@dataclasses.dataclass
class Holder:
    config: Any = None


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int
    b: int


class Pair(NamedTuple):
    left: Any
    right: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    field: Any = None


@dataclasses.dataclass(eq=False)
class Identity:
    a: Any = 1


class Custom:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __cache_key__(self) -> Any:
        return self.state() if callable(self.state) else self.state


class Text(str):
    __slots__ = ()


class Colour(enum.Enum):
    RED = NAN


def decorate(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper() -> Any:
        return function()

    return wrapper


def original() -> None:
    """Will be shadowed by its wrapper."""


wrapped = decorate(original)


def local_class() -> type:
    @dataclasses.dataclass
    class Local:
        a: int = 1

    return Local


def refusal(core: Any, *values: Any, error: type[Exception] = TypeError) -> str:
    with pytest.raises(error) as caught:
        core.module("cache_key").cache_key(*values)
    assert type(caught.value) is error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value)


def cyclic_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def cyclic_holder() -> Holder:
    holder = Holder({"inner": [1]})
    holder.config["inner"].append(holder)
    return holder


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (NAN, "cannot encode NaN at $[0]"),
        ([1, (2, NAN)], "cannot encode NaN at $[0][1][1]"),
        ({"a": {"b": NAN}}, "cannot encode NaN at $[0]['a']['b']"),
        ({"it's": [NAN]}, 'cannot encode NaN at $[0]["it\'s"][0]'),
        ({7: NAN}, "cannot encode NaN at $[0][7]"),
        ({2**65: NAN}, "cannot encode NaN at $[0][<int>]"),
        ({None: NAN}, "cannot encode NaN at $[0][None]"),
        ({(1,): NAN}, "cannot encode NaN at $[0][<tuple>]"),
        ({"x" * 41: NAN}, f"cannot encode NaN at $[0]['{'x' * 40}'...]"),
        ({(1, NAN): 1}, "cannot encode NaN at $[0].keys()[1]"),
        ({"a": {NAN}}, "cannot encode NaN at $[0]['a']{*}"),
        (frozenset({(NAN,)}), "cannot encode NaN at $[0]{*}[0]"),
        (Holder({"temperature": NAN}), "cannot encode NaN at $[0].config['temperature']"),
        (Pair(1, [NAN]), "cannot encode NaN at $[0].right[0]"),
        (Model(field=NAN), "cannot encode NaN at $[0].field"),
        (Model(more=NAN), "cannot encode NaN at $[0].__pydantic_extra__['more']"),
        (Custom([NAN]), "cannot encode NaN at $[0].__cache_key__()[0]"),
        (MappingProxyType({"a": NAN}), "cannot encode NaN at $[0]['a']"),
        (Decimal("NaN"), "cannot encode NaN at $[0]"),
        ([Decimal("sNaN")], "cannot encode NaN at $[0][0]"),
        (complex(0, NAN), "cannot encode NaN at $[0][1]"),
        ("\ud800", "cannot encode a str with a lone surrogate at $[0]"),
        ({"a\udfff": 1}, "cannot encode a str with a lone surrogate at $[0].keys()"),
        (cyclic_list(), "cannot encode a value that contains itself at $[0][1]"),
        (cyclic_holder(), "cannot encode a value that contains itself at $[0].config['inner'][1]"),
        (object(), f"cannot encode object at $[0]; {REMEDY}"),
        ({"lock": threading.Lock()}, f"cannot encode _thread.lock at $[0]['lock']; {REMEDY}"),
        (memoryview(b""), f"cannot encode memoryview at $[0]; {REMEDY}"),
        (..., f"cannot encode ellipsis at $[0]; {REMEDY}"),
        (list[int], f"cannot encode types.GenericAlias at $[0]; {REMEDY}"),
        ([].append, f"cannot encode list.append at $[0]; {BY_NAME}"),
        (Custom(1).__cache_key__, f"cannot encode method at $[0]; {REMEDY}"),
        (functools.partial(int), f"cannot encode functools.partial at $[0]; {REMEDY}"),
        (lambda: 0, f"cannot encode {HERE}.<lambda> at $[0]; {BY_NAME}"),
        (wrapped, f"cannot encode {HERE}.original at $[0]; {BY_NAME}"),
        ([local_class()], f"cannot encode {HERE}.local_class.<locals>.Local at $[0][0]; {BY_NAME}"),
        (local_class()(), f"cannot encode {HERE}.local_class.<locals>.Local at $[0]; {BY_NAME}"),
    ],
)
def test_the_message_says_what_and_where(core, value, message):
    assert refusal(core, value) == f"cache_key: {message}"


@pytest.mark.parametrize(
    ("value", "name", "base"),
    [
        (Text("a"), f"{HERE}.Text", "str"),
        (np.float64(1.0), "numpy.float64", "float"),
        (collections.defaultdict(list), "collections.defaultdict", "dict"),
        (collections.Counter("a"), "collections.Counter", "dict"),
    ],
)
def test_subclasses_of_builtins_are_not_taken_for_them(core, value, name, base):
    assert refusal(core, [value]) == (
        f"cache_key: cannot encode {name} at $[0][0]; a subclass of {base} is not taken for "
        f"a {base}: convert it, or give the class a __cache_key__() method"
    )


def test_the_position_among_the_arguments_shows(core):
    assert refusal(core, 1, "a", NAN) == "cache_key: cannot encode NaN at $[2]"


def test_long_paths_are_shortened(core):
    value: Any = NAN
    for _ in range(50):
        value = [value]
    path = "[0]" * 6 + "..." + "[0]" * 6
    assert refusal(core, value) == f"cache_key: cannot encode NaN at ${path}"


def test_cycles_through_each_kind_of_container(core):
    looped: dict[str, Any] = {}
    looped["self"] = looped
    knot: tuple[Any, ...] = ([],)
    knot[0].append(knot)
    custom = Custom(None)
    custom.state = [custom]
    itself = Custom(None)
    itself.state = itself
    model = Model()
    model.field = [model]
    say = "cache_key: cannot encode a value that contains itself at $"
    assert refusal(core, looped) == f"{say}[0]['self']"
    assert refusal(core, knot) == f"{say}[0][0][0]"
    assert refusal(core, *knot) == f"{say}[0][0][0]"
    assert refusal(core, custom) == f"{say}[0].__cache_key__()[0]"
    assert refusal(core, itself) == f"{say}[0].__cache_key__()"
    assert refusal(core, model) == f"{say}[0].field[0]"


def test_unset_fields_are_refused(core):
    value = Slotted(1, 2)
    del value.b
    name = f"{HERE}.Slotted"
    assert refusal(core, [value]) == (
        f"cache_key: cannot encode {name} at $[0][0]; its field 'b' is not set"
    )
    model = Model.model_construct()
    model.__dict__.clear()
    name = f"{HERE}.Model"
    assert refusal(core, model) == (
        f"cache_key: cannot encode {name} at $[0]; its field 'field' is not set"
    )


def test_keys_and_elements_that_would_be_written_alike(core):
    keys = refusal(core, {"a": {Identity(): 1, Identity(): 2, "b": 3}})
    elements = refusal(core, [{Identity(), Identity(), "b"}])
    assert keys == "cache_key: cannot encode two keys that are written alike at $[0]['a']"
    assert elements == "cache_key: cannot encode two elements that are written alike at $[0][0]"


def test_zones_without_a_key(core):
    zone = ZoneInfo.from_file(
        io.BytesIO(b"TZif" + bytes(32) + b"\0\0\0\1\0\0\0\1" + bytes(6) + b"\0")
    )
    assert refusal(core, zone) == (
        "cache_key: cannot encode zoneinfo.ZoneInfo at $[0]; it was read from a file and has no key"
    )


def test_errors_of_a_cache_key_method_pass_unchanged(core):
    class FailureError(Exception):
        pass

    def fail() -> None:
        raise FailureError("no")

    with pytest.raises(FailureError, match=r"^no$"):
        core.module("cache_key").cache_key({"a": [Custom(fail)]})


@pytest.mark.parametrize("change", ["append", "clear"])
def test_lists_that_change_size(core, change):
    value: list[Any] = [1, None, 3]
    value[1] = Custom(lambda: getattr(value, change)(*([4] if change == "append" else [])))
    message = refusal_of_change(core, value)
    assert message == "cache_key: list changed size while it was encoded"


@pytest.mark.parametrize("change", [lambda value: value.clear(), lambda value: value.update(z=1)])
def test_dicts_that_change_size(core, change):
    value: dict[str, Any] = {f"k{number}": number for number in range(50)}
    value["k20"] = Custom(lambda: change(value))
    assert refusal_of_change(core, value) == "cache_key: dict changed size while it was encoded"


@pytest.mark.parametrize("change", [set.clear, lambda value: value.add("z")])
def test_sets_that_change_size(core, change):
    value: set[Any] = set(range(50))
    value.add(Custom(lambda: change(value)))
    assert refusal_of_change(core, value) == "cache_key: set changed size while it was encoded"


def refusal_of_change(core: Any, value: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        core.module("cache_key").cache_key(value)
    return str(caught.value)


bad = st.sampled_from([NAN, "\ud800", object(), Text("a"), lambda: 0, Colour, Decimal("NaN")])
good = st.none() | st.integers() | st.text(max_size=50) | st.builds(Holder, st.integers())
tree = st.recursive(
    good | bad,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=60) | st.integers(), inner, max_size=4)
        | st.builds(Holder, inner)
        | st.builds(Custom, st.lists(inner, max_size=2))
    ),
    max_leaves=12,
)


@given(st.lists(tree, max_size=2))
def test_implementations_refuse_alike(values):
    assert outcome(compiled.encode, values) == outcome(pure.encode, values)


def outcome(encode: Any, values: list[Any]) -> bytes | str:
    try:
        return encode(*values)
    except TypeError as error:
        return str(error)
