"""Every Python block of the user documentation runs and prints what it promises; links resolve."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import kaizen_nexus

if TYPE_CHECKING:
    from tests.docs.conftest import Block

ROOT = Path(__file__).resolve().parents[2]
GUIDE = "docs/performance-guide.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))
PAGES.remove(GUIDE)
# The others have no Python to run, and test_guide.py runs the guide's.
DOCUMENTS = [page for page in PAGES if "\n```python\n" in (ROOT / page).read_text("utf-8")]

PROMISE = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def namespaces(restored_imports: None) -> Iterator[dict[str, dict[str, Any]]]:
    """Give each page a module of its own; what the pages leave open is closed."""
    modules = {page: ModuleType(f"page_{Path(page).stem.replace('-', '_')}") for page in DOCUMENTS}
    # A dataclass looks up its module while it is being defined.
    sys.modules.update({module.__name__: module for module in modules.values()})
    yield {page: vars(module) for page, module in modules.items()}
    for module in modules.values():
        for value in vars(module).values():
            if isinstance(value, (kaizen_nexus.Nexus, kaizen_nexus.NexusSessionManager)):
                value.close()
        del sys.modules[module.__name__]


def test_the_block_runs(
    block: Block, namespaces: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    block.run(namespaces[block.file])
    promised = PROMISE.findall(block.code)
    if promised:
        assert capsys.readouterr().out.splitlines() == promised


def test_the_index_lists_every_page() -> None:
    listed = LINK.findall((ROOT / "docs/index.md").read_text("utf-8"))
    assert sorted(listed) == sorted(
        Path(page).name for page in [*PAGES, GUIDE] if page != "docs/index.md"
    )


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_links_resolve(page: str) -> None:
    path = ROOT / page
    for link in LINK.findall(path.read_text("utf-8")):
        target, _, anchor = link.partition("#")
        if target.startswith("https:"):
            continue
        file = path.parent / target if target else path
        assert file.is_file(), link
        assert not anchor or anchor in anchors_of(file), link


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = HEADING.findall(FENCED.sub("", path.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_client_configuration_works(
    blocks_of: Callable[[str, str], list[Block]], tmp_path: Path
) -> None:
    (service, *_) = blocks_of("docs/mcp.md", "python")
    (configuration,) = blocks_of("docs/mcp.md", "json")
    (server,) = json.loads(configuration.code)["mcpServers"].values()
    (tmp_path / "service.py").write_text(service.code, encoding="utf-8")
    assert server["command"] == "nexus"
    arguments = [word.replace("/path/to", str(tmp_path)) for word in server["args"]]

    async def tools() -> list[str]:
        process = StdioServerParameters(
            command=sys.executable, args=["-m", "kaizen_nexus", *arguments], cwd=tmp_path
        )
        async with stdio_client(process) as streams, ClientSession(*streams) as client:
            await client.initialize()
            return [tool.name for tool in (await client.list_tools()).tools]

    assert asyncio.run(tools()) == ["assistant"]
