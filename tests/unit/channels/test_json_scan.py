"""Counting what a JSON text would become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus.channels import json_scan
from kaizen_nexus.channels.json_scan import JsonScan

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a\\",:[]{} \n\x1fé', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('\\":,[{', max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def counted(value: Any) -> tuple[int, int]:
    """Return the number of values and of keys; an empty container counts as if it had a value."""
    if isinstance(value, dict):
        inner = [counted(v) for v in value.values()]
        return 1 + max(1, sum(v for v, _ in inner)), len(value) + sum(k for _, k in inner)
    if isinstance(value, list):
        inner = [counted(v) for v in value]
        return 1 + max(1, sum(v for v, _ in inner)), sum(k for _, k in inner)
    return 1, 0


@given(VALUES, st.booleans(), st.integers(1, 9))
def test_it_counts_as_a_decoder_would(value: Any, ascii_only: bool, window: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "WINDOW", window)
        scan = JsonScan(text)
    assert (scan.values, scan.keys) == counted(value)


@pytest.mark.parametrize("text", [b"", b'"', b'"\\', b"\\", b'""""', b"]]]", b'{"a"'])
def test_it_takes_anything(text: bytes) -> None:
    scan = JsonScan(text)
    assert scan.values >= 1
    assert scan.keys >= 0
