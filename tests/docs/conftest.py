from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import kaizen_nexus

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block of code, dedented, and the line in its file where it starts."""

    file: str
    line: int
    code: str

    def run(self, namespace: dict[str, object]) -> None:
        padding = "\n" * (self.line - 1)
        exec(compile(padding + self.code, self.file, "exec"), namespace)  # noqa: S102


def read_blocks(file: str, language: str) -> list[Block]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return [
        Block(file, text.count("\n", 0, match.start()) + 2, textwrap.dedent(match["code"]))
        for match in FENCED.finditer(text)
        if match["language"] == language
    ]


@pytest.fixture
def installed() -> Iterator[None]:
    """`install()` for one test: import machinery and modules are as before afterwards."""
    finders = list(sys.meta_path)
    kaizen_nexus.install()
    yield
    sys.meta_path[:] = finders
    for name in [n for n in sys.modules if n.partition(".")[0] in {"kaizen", "nexus"}]:
        del sys.modules[name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `block` every Python block of its module's DOCUMENT, in order."""
    if "block" in metafunc.fixturenames:
        found = read_blocks(metafunc.module.DOCUMENT, "python")
        assert found, metafunc.module.DOCUMENT
        metafunc.parametrize("block", found, ids=lambda block: f"line{block.line}")
