"""The cache key of a configuration."""

from __future__ import annotations

from collections.abc import Callable

from bench.comparing import Target
from bench.core.contenders import ORIGINAL, PURE, installed
from bench.core.contenders.keys import CONFIGURATION, KEYS, check
from bench.core.operations import Operation, measured
from bench.core.scale import Scale
from bench.report import Section

__all__ = ["key_of_configuration", "measure"]


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time the key of a configuration of about a kilobyte."""
    return measured("Cache key", [key_of_configuration()], scale, say)


def key_of_configuration() -> Operation:
    """Make the key of a configuration, after checking that configurations are told apart."""
    contenders, absent = installed(KEYS)
    for name, contender in contenders.items():
        check(name, contender)
    return Operation(
        "cache key of a configuration of a kilobyte",
        {name: contender.key(CONFIGURATION).run() for name, contender in contenders.items()},
        absent,
        (Target(ORIGINAL, 8), Target(PURE, 2), Target("orjson + blake2b", 1)),
    )
