"""Keeping the garbage collector out of what is measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["isolated_heap", "no_collections"]


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
