"""What the README shows is true: its Python runs, its service answers, its commands are CI's."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.docs.conftest import Block

DOCUMENT = "README.md"


@pytest.fixture(scope="module")
def namespace() -> Iterator[dict[str, Any]]:
    module = ModuleType("readme")
    # A dataclass looks up its module while it is being defined.
    sys.modules["readme"] = module
    yield vars(module)
    module.app.close()
    del sys.modules["readme"]


@pytest.mark.usefixtures("installed")
def test_the_block_runs(block: Block, namespace: dict[str, Any], capsys: Any) -> None:
    block.run(namespace)
    printed = capsys.readouterr().out
    promised = re.findall(r"^print\(.*\)  # (\d.*)$", block.code, re.MULTILINE)
    if promised:
        assert printed.splitlines() == promised
