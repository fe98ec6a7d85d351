"""The cache key of a configuration, and what each way of making one tells apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, installed
from bench.core.contenders.keys import CONFIGURATION, CONFLATED, KEYS, Keys, check, conflations
from bench.core.operations import Operation, Part, Target
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["measure"]


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time the key of a configuration of about a kilobyte.

    Parameters
    ----------
    scale
        How much to measure.
    say
        Reports what is being measured.

    Raises
    ------
    WrongAnswerError
        A contender gives equal configurations different keys, or different ones the same.
    """
    contenders, absent = installed(KEYS)
    for name, contender in contenders.items():
        check(name, contender)
    text = json.dumps(CONFIGURATION).encode()
    hashing = Call("blake2b(text).hexdigest()", {"blake2b": hashlib.blake2b, "text": text})
    operation = Operation(
        f"cache key of a configuration ({len(text):,} bytes as JSON)",
        {name: contender.key(CONFIGURATION).run() for name, contender in contenders.items()},
        absent,
        (Target(ORIGINAL, 8), Target(PURE, 2), Target("orjson + blake2b", 1)),
        (Part("BLAKE2b of as many bytes", hashing.run()),),
    )
    rows, data = operation.measure(scale, say)
    remarks, told = told_apart(contenders)
    return Section("Cache key", [*rows, *remarks], {operation.name: data, "conflated": told})


def told_apart(contenders: Mapping[str, Keys]) -> tuple[list[Row], dict[str, list[str]]]:
    """Return which different configurations get one key: ours must have none."""
    rows: list[Row] = []
    data: dict[str, list[str]] = {}
    for name, contender in contenders.items():
        data[name], refused = conflations(contender)
        figure = f"of {len(CONFLATED)} pairs, conflates " + (", ".join(data[name]) or "none")
        figure += f"; refuses {', '.join(refused)}" if refused else ""
        title = f"configurations told apart: {name}"
        if name == COMPILED:
            rows.append(Row(title, figure, "conflates none", not data[name], figure))
        else:
            rows.append(Row(title, figure))
    return rows, data
