"""Session ids to measure with, and keeping the garbage collector out of what is measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["isolated_heap", "no_collections", "random_ids"]


def random_ids(count: int, seed: int = 0) -> list[str]:
    """Return ids like the table's own: 128 random bits in hexadecimal, the same for everyone."""
    digits = np.random.default_rng(seed).bytes(16 * count).hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]


@contextmanager
def isolated_heap() -> Iterator[None]:
    """Keep what is alive by now out of the garbage collector's way, as if it were not there."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.collect()


@contextmanager
def no_collections() -> Iterator[None]:
    """Create many objects without the garbage collector passing over them; collect once then."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
