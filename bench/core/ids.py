"""Session ids to measure with."""

from __future__ import annotations

import numpy as np

__all__ = ["random_ids"]


def random_ids(count: int, seed: int = 0) -> list[str]:
    """Return ids like the table's own: 128 random bits in hexadecimal, the same for everyone."""
    digits = np.random.default_rng(seed).bytes(16 * count).hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]
