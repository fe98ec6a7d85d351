"""The cache key of a configuration, and what each way of making one tells apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.comparing import Target
from bench.core.contenders import COMPILED, ORIGINAL, PURE, installed
from bench.core.contenders.keys import CONFIGURATION, CONFLATED, KEYS, Keys, check, conflations
from bench.core.operations import Operation
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["key_of_configuration", "measure"]


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time the key of a configuration of about a kilobyte."""
    operation = key_of_configuration()
    rows, data = operation.measure(scale, say)
    remarks, told = told_apart(installed(KEYS)[0])
    return Section("Cache key", [*rows, *remarks], {operation.name: data, "conflated": told})


def key_of_configuration() -> Operation:
    """Make the key of a configuration, after checking who tells configurations apart."""
    contenders, absent = installed(KEYS)
    for name, contender in contenders.items():
        check(name, contender)
    return Operation(
        "cache key of a configuration of a kilobyte",
        {name: contender.key(CONFIGURATION).run() for name, contender in contenders.items()},
        absent,
        (Target(ORIGINAL, 8), Target(PURE, 2), Target("orjson + blake2b", 1)),
    )


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
