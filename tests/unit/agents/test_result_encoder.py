"""A result is accepted exactly when its JSON text has the declared type."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import typing
import uuid
from typing import Annotated, Any, Literal, Optional

import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kaizen_nexus.agents.errors import InvalidOutputError
from kaizen_nexus.agents.outputs import FieldOutputs, ResultEncoder, to_json
from kaizen_nexus.agents.schema import from_builtins
from kaizen_nexus.agents.signature import Field


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Typed(typing.TypedDict, total=False):
    name: str
    score: float
    inner: Typed


@dataclasses.dataclass
class Record:
    name: str
    scores: list[float]


@dataclasses.dataclass
class Page:
    text: str
    tags: list[str] = dataclasses.field(default_factory=list)
    next: Page | None = None
    day: datetime.date | None = None


class Struct(msgspec.Struct):
    name: str
    colour: Colour | None = None


class Model(pydantic.BaseModel):
    name: str
    score: float = 0.0


SCALAR_TYPES: list[Any] = [
    *(Any, None, bool, int, float, str, bytes, Colour, Level, Literal["red", 1], uuid.UUID),
    *(decimal.Decimal, datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
    *(Typed, Record, Page, Struct, Model, dict, list, tuple, set),
    Annotated[int, msgspec.Meta(ge=0)],
    Annotated[str, msgspec.Meta(max_length=3)],
    Annotated[float, msgspec.Meta(lt=10)],
]
TYPES = st.recursive(
    st.sampled_from(SCALAR_TYPES),
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: Optional[t]),  # noqa: UP045 - None | None is no type
        inner.map(lambda t: tuple[t, ...]),
        st.tuples(inner, inner).map(lambda ts: tuple[ts[0], ts[1]]),
        st.tuples(st.sampled_from([str, int, float, Colour, Any]), inner).map(
            lambda ts: dict[ts[0], ts[1]]
        ),
    ),
    max_leaves=4,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["red", "1", "1.5", "NaN", "2020-01-01", "null"]),
    st.binary(max_size=3),
    st.sampled_from([Colour.RED, Level.LOW, msgspec.UNSET, object(), math.nan, 1.0, 2**70]),
    st.uuids(),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc)),
    st.dates(),
    st.times(),
    st.timedeltas(),
)
FITTING = st.one_of(
    st.lists(st.integers() | st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers() | st.floats() | st.text(), max_size=3),
    st.fixed_dictionaries({"name": st.text(), "score": st.floats()}),
    st.builds(Record, st.text(), st.lists(st.floats())),
    st.builds(Struct, st.text(), st.sampled_from(Colour)),
    st.builds(Page, st.text(), st.lists(st.text()), st.none() | st.builds(Page, st.text())),
)
"""Values that many of the types accept."""
KEYS = st.sampled_from(["name", "score", "scores", "inner", 1, "1", 1.5, math.nan, Colour.RED])


def _records(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(Record, values, values),
        st.builds(Struct, values, values),
        st.builds(Page, values, values, values, values),
        st.builds(Model.model_construct, name=values, score=values),
    )


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        _records(inner),
    ),
    max_leaves=6,
)


def _verdict(encode: Any, value: Any) -> bytes | str:
    try:
        encoded: bytes = encode(value)
    except InvalidOutputError as error:
        return str(error)
    return encoded


def _decoded(declared: Any, value: Any) -> bytes | str:
    """Return what checking the text alone says, which is the meaning of all this."""
    try:
        encoded = to_json(value)
        msgspec.json.decode(encoded, type=declared, dec_hook=from_builtins)
    except InvalidOutputError as error:
        return str(error)
    except msgspec.ValidationError as error:
        return f"the returned {type(value).__name__} does not match the declared output: {error}"
    except (TypeError, ValueError, RecursionError) as error:
        return f"the returned value has no JSON form: {error}"
    return encoded


unchecked_models = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@unchecked_models
@given(TYPES, SCALARS | FITTING | VALUES)
@example(float, math.nan)
@example(decimal.Decimal, math.inf)
@example(float, decimal.Decimal(1))
@example(list[float | None], [math.nan])
@example(Typed, {"inner": {"score": math.nan}})
@example(dict[str, int], {1: 2, "1": "no"})
@example(list[Record], [Record("a", ["no"])])
@example(dict[str, Any], {"a": Record(1, 2)})
@example(Page, Page("a", ["b"], Page("c", day=datetime.date(2020, 1, 1))))
@example(Page, Page("a", next=Page("c", [1])))
@example(list[Page], [{"text": "a"}, Page("." * 10_000)])
def test_a_result_is_accepted_as_its_text_is(declared: Any, value: Any) -> None:
    try:
        encoders = [ResultEncoder(declared, small=0), ResultEncoder(declared)]
    except TypeError:
        return  # a union of types that JSON cannot tell apart
    for encoder in encoders:
        assert _verdict(encoder.encode, value) == _decoded(declared, value)


@unchecked_models
@given(st.dictionaries(st.sampled_from(["a", "b"]), TYPES, max_size=2), SCALARS | FITTING | VALUES)
def test_fields_are_accepted_as_their_text_is(types: dict[str, Any], value: Any) -> None:
    fields = [Field(name, declared) for name, declared in types.items()]
    try:
        outputs = FieldOutputs(fields, label="it", instead=())
        optional = [(f.name, f.annotation | msgspec.UnsetType, msgspec.UNSET) for f in fields]
        struct = msgspec.defstruct("Outputs", optional)
    except TypeError:
        return
    # Texts of more than 256 bytes are checked in another way than short ones.
    for given_value in (value, {"a": value, "further": value}, {"a": value, "long": "." * 300}):
        assert _verdict(outputs.encode, given_value) == _decoded(struct, given_value)


@pytest.mark.parametrize(
    ("declared", "wrong"),
    [(str, 1), (list[int], [1, "2"]), (Record, Record("a", ["no"])), (float, math.nan)],
)
def test_the_message_says_where_it_differs(declared: Any, wrong: Any) -> None:
    with pytest.raises(InvalidOutputError, match="does not match the declared output: Expected"):
        ResultEncoder(declared).encode(wrong)
