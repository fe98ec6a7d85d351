from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def imports_restored() -> Iterator[None]:
    """Import machinery and modules are as before afterwards, whatever `install()` did."""
    finders = list(sys.meta_path)
    yield
    sys.meta_path[:] = finders
    for name in [n for n in sys.modules if n.partition(".")[0] in {"kaizen", "nexus"}]:
        del sys.modules[name]


@pytest.fixture
def installed() -> Iterator[None]:
    """`install()` for one test."""
    with imports_restored():
        kaizen_nexus.install()
        yield


@pytest.fixture(scope="module")
def restored_imports() -> Iterator[None]:
    """For documents that call `install()` themselves: undo it after the last of them."""
    with imports_restored():
        yield


@pytest.fixture(scope="session")
def blocks_of() -> Callable[[str, str], list[Block]]:
    """Give a test the blocks of a document in a language."""
    return read_blocks


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes `block` every Python block of its module's documents, in order.

    A module names one DOCUMENT, or several DOCUMENTS.
    """
    if "block" not in metafunc.fixturenames:
        return
    several = getattr(metafunc.module, "DOCUMENTS", None)
    blocks, ids = [], []
    for document in several or [metafunc.module.DOCUMENT]:
        found = read_blocks(document, "python")
        assert found, document
        blocks += found
        page = f"{Path(document).stem}-" if several else ""
        ids += [f"{page}line{block.line}" for block in found]
    metafunc.parametrize("block", blocks, ids=ids)
