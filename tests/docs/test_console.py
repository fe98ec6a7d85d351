"""Every console example of the user documentation is typed into a shell, and answers as shown.

A page's examples run in order, in one shell, against a server of the page's own ``service.py``.
White space does not matter, since answers are wrapped for reading; ids, times and durations may be
others; ``...`` stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.docs.conftest import Block

DOCUMENTS = ["docs/command-line.md", "docs/http-api.md", "docs/mcp.md"]
SHOWN_SERVER = "localhost:8000"
END = "=== end of an example ==="
TIMEOUT = 60

MOMENT = r"\d{4}-\d\d-\d\dT[\d:.]+\+\d\d:\d\d"
NUMBER = r"\d[\d.e-]*"
# What is shown, and what may be printed in its place.
VARYING = {
    "[0-9a-f]{32}": "[0-9a-f]{32}",
    MOMENT: MOMENT,
    f'"duration_ms":{NUMBER}': f'"duration_ms":{NUMBER}',
    f'"uptime_seconds":{NUMBER}': f'"uptime_seconds":{NUMBER}',
    '"implementation":"c"': '"implementation":"(c|py)"',
    r"\.\.\.": ".*",
}

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or os.name != "posix", reason="needs curl and a POSIX shell"
)


def examples_in(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a transcript, which may take several lines, with what it prints."""
    lines = block.code.splitlines()
    while lines:
        command = lines.pop(0)
        assert command.startswith("$ "), f"{block.file}: {command!r} is no command"
        while not is_complete(command):
            command += f"\n{lines.pop(0)}"
        printed = []
        while lines and not lines[0].startswith("$ "):
            printed.append(lines.pop(0))
        yield command.removeprefix("$ "), "\n".join(printed)


def is_complete(command: str) -> bool:
    """Whether the shell would not ask for more."""
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith("\\")


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def pattern_of(shown: str) -> str:
    """Return a regular expression for what may be printed where a page shows `shown`."""
    text = squeezed(shown)
    pattern, position = "", 0
    for match in re.finditer("|".join(VARYING), text):
        pattern += re.escape(text[position : match.start()])
        pattern += next(p for v, p in VARYING.items() if re.fullmatch(v, match[0]))
        position = match.end()
    return pattern + re.escape(text[position:])


@contextmanager
def serving(service: Block, folder: Path) -> Iterator[dict[str, str]]:
    """Serve a page's app; yield the environment of a shell for which ``nexus`` reaches it."""
    (folder / "service.py").write_text(service.code, encoding="utf-8")
    program = folder / "nexus"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kaizen_nexus "$@"\n')
    program.chmod(0o755)
    process = subprocess.Popen(
        [program, "serve", "service:app", "--port", "0", "--log-level", "critical"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        announced = process.stderr.readline()
        assert announced.startswith("Serving on "), announced
        url = announced.split()[2]
        search = os.pathsep.join([str(folder), os.environ["PATH"]])
        yield {**os.environ, "PATH": search, "NEXUS_URL": url, "COLUMNS": "80"}
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)


@pytest.mark.parametrize("page", DOCUMENTS)
def test_the_examples_answer_as_shown(
    page: str, blocks_of: Callable[[str, str], list[Block]], tmp_path: Path
) -> None:
    examples = [e for block in blocks_of(page, "console") for e in examples_in(block)]
    assert examples
    with serving(blocks_of(page, "python")[0], tmp_path) as environment:
        server = environment["NEXUS_URL"].removeprefix("http://")
        script = f"\necho '{END}'\n".join(command for command, _ in examples)
        completed = subprocess.run(
            ["sh", "-c", f"exec 2>&1\n{script.replace(SHOWN_SERVER, server)}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    answers = completed.stdout.split(END)
    assert len(answers) == len(examples)
    for (command, shown), answer in zip(examples, answers, strict=True):
        assert re.fullmatch(pattern_of(shown), squeezed(answer)), f"{page}: {command}\n{answer}"
