"""The values whose keys ``cache_key_vectors.json`` records; run it to print their encodings.

Imported under its own name alone, so that the classes have one qualified name everywhere.
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo


class Colour(Enum):
    RED = "r"


class Level(IntEnum):
    HIGH = 3


class Access(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Retry:
    attempts: int = 3
    backoff: float = 1.5


@dataclass(frozen=True)
class Settings:
    model: str = "small"
    temperature: float = 0.7
    retry: Retry = field(default_factory=Retry)


class Tool:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = object()

    def __cache_key__(self) -> object:
        return {"name": self.name}

    def call(self) -> None:
        """A function that belongs to a class."""


def search(query: str) -> str:
    return query


# A zone without transitions, from bytes, so that no time zone database is needed.
ZONE = ZoneInfo.from_file(
    io.BytesIO(struct.pack(">4s16x6LlBB4s", b"TZif", 0, 0, 0, 0, 1, 4, 3600, 0, 0, b"TST\0")),
    key="Test/Zone",
)

CONFIG = {
    "name": "assistant",
    "model": "small",
    "temperature": 0.7,
    "max_tokens": 2048,
    "stream": False,
    "seed": None,
    "retry": {"attempts": 3, "backoff": 1.5, "statuses": [429, 500, 503]},
    "tools": [{"name": "search", "timeout": 10.0}, {"name": "fetch", "timeout": 30.0}],
    "stop": ["\n\nUser:"],
    "größe": "übergroß \U0001f600",
}

SAMPLES: dict[str, tuple[object, ...]] = {
    "nothing": (),
    "none": (None,),
    "true": (True,),
    "false": (False,),
    "zero": (0,),
    "one": (1,),
    "minus one": (-1,),
    "word": (2**63 - 1, -(2**63)),
    "beyond a word": (2**63, -(2**63) - 1),
    "hundred bytes": (3**500,),
    "float": (1.0,),
    "negative zero": (-0.0,),
    "infinities": (float("inf"), float("-inf")),
    "smallest float": (5e-324,),
    "empty string": ("",),
    "string": ("a", "bc"),
    "unicode": ("ÄÖ\u20ac\U0001f600\0",),
    "long string": ("x" * 1000,),
    "bytes": (b"\x00\xff", b""),
    "list": ([1, [2.0, []]],),
    "tuple": ((1, (2.0, ())),),
    "dict": ({"b": 1, "a": 2, "": None, "aa": {}},),
    "dict of mixed keys": ({1: "a", "1": "b", b"1": "c", None: "d", (1, "x"): "e", 2.5: "f"},),
    "set": ({"a", "b", 3, None},),
    "frozenset": (frozenset({frozenset(), ("a", 1)}),),
    "configuration": (CONFIG,),
    "complex": (1 - 0j,),
    "bytearray": (bytearray(b"ab"),),
    "range": (range(1, 10, 3),),
    "ordered dict": (OrderedDict(b=1, a=2),),
    "mapping proxy": (MappingProxyType({"b": 1, "a": 2}),),
    "namespace": (SimpleNamespace(b=1, a=2),),
    "date": (date(2026, 11, 23),),
    "time": (time(1, 2, 3, 4, fold=1),),
    "datetime": (datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=timezone.utc),),
    "datetime in a zone": (datetime(2026, 10, 25, 1, 30, fold=1, tzinfo=ZONE),),
    "timedelta": (timedelta(days=-1, microseconds=5),),
    "timezone": (timezone(timedelta(hours=-3, minutes=-30)), timezone(timedelta(0), "Z")),
    "decimal": (Decimal("1.50"), Decimal("-0"), Decimal("1E+5"), Decimal("-Infinity")),
    "fraction": (Fraction(-1, 3),),
    "uuid": (UUID("12345678-1234-5678-1234-567812345678"),),
    "paths": (PurePosixPath("a//b/../c"), PureWindowsPath("c:\\a\\b")),
    "pattern": (re.compile("a+", re.IGNORECASE), re.compile(rb"\d")),
    "enum": (Colour.RED, Level.HIGH),
    "flags": (Access.READ, Access.READ | Access.WRITE, Access(0)),
    "named tuple": (Point(1.0, 2.0),),
    "dataclass": (Settings(), Retry(attempts=5)),
    "cache key method": (Tool("search"),),
    "class": (Tool, int, type),
    "function": (search, Tool.call, len),
}


def main() -> None:
    module = sys.argv[1]
    core = __import__(module, fromlist=["cache_key", "encode"])
    vectors = {
        name: {"key": core.cache_key(*values), "encoded": core.encode(*values).hex()}
        for name, values in SAMPLES.items()
    }
    json.dump(vectors, sys.stdout, indent=1)


if __name__ == "__main__":
    import cache_key_samples  # the classes' home, which `__main__` is not

    cache_key_samples.main()
