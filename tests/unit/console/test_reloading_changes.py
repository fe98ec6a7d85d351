"""What ``nexus serve --reload`` relies on, without a server: when it looks, and what it lets go."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kaizen_nexus.console.loading import load_app
from kaizen_nexus.console.reloading import Reloader

NAME = "nexus_test_reloaded"
SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel


def first(): ...


app = Nexus()
deploy_multi_channel(first, app, first.__name__)
"""
CHANGED = SERVICE.replace("first", "second")
RELOADED = "Reloaded. Workflows: second\n"


class Messages(io.StringIO):
    """Standard error, which notes at each message how many of some modules are still there."""

    def __init__(self, *modules: ModuleType) -> None:
        super().__init__()
        self.alive: list[int] = []
        self._modules = weakref.WeakSet(modules)

    def write(self, text: str) -> int:
        gc.collect()
        self.alive.append(len(self._modules))
        return super().write(text)


def poll(reloader: Reloader, times: int, messages: Messages | None = None) -> str:
    """Let it look so many times, and return what it says."""
    messages = Messages() if messages is None else messages
    with contextlib.redirect_stderr(messages):
        for _ in range(times):
            reloader.poll()
    return messages.getvalue()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of an app; nothing that is imported from it stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / f"{NAME}.py"
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        app = getattr(sys.modules.pop(name), "app", None)
        if app is not None:
            app.close()


def reloader_of(service: Path) -> Reloader:
    since = time.time_ns()
    return Reloader(load_app(service.name), service.name, service.parent, since)


def save(service: Path, source: str, seconds_ago: float = 60) -> None:
    """Write the file as if that had been some time ago."""
    service.write_text(source)
    saved = time.time_ns() - int(seconds_ago * 1e9)
    os.utime(service, ns=(saved, saved))


def test_a_change_is_waited_for_until_it_is_complete(service: Path) -> None:
    save(service, SERVICE)
    reloader = reloader_of(service)
    assert poll(reloader, 2) == ""
    save(service, CHANGED[:100], seconds_ago=50)
    assert poll(reloader, 1) == ""
    save(service, CHANGED, seconds_ago=40)
    assert poll(reloader, 1) == ""
    assert poll(reloader, 3) == RELOADED


def test_what_is_saved_while_the_app_is_loaded_is_seen(service: Path) -> None:
    saving = f"from pathlib import Path\nPath(__file__).write_text({CHANGED!r})\n"
    save(service, saving + SERVICE)
    assert poll(reloader_of(service), 5) == RELOADED


def test_a_module_saved_while_it_is_loaded_for_the_first_time_is_seen(service: Path) -> None:
    save(service, SERVICE)
    reloader = reloader_of(service)
    text = 'TEXT = "first"\n'
    saving = f"from pathlib import Path\nPath(__file__).write_text({text!r})\n"
    save(service.with_name(f"{NAME}_text.py"), f'{saving}TEXT = "zeroth"\n')
    greeting = SERVICE.replace("first.__name__", f"{NAME}_text.TEXT")
    save(service, f"import {NAME}_text\n{greeting}", seconds_ago=50)
    assert poll(reloader, 2) == "Reloaded. Workflows: zeroth\n"
    assert poll(reloader, 5) == "Reloaded. Workflows: first\n"


def test_former_code_is_gone_when_the_message_comes(service: Path) -> None:
    save(service, SERVICE)
    reloader = reloader_of(service)
    messages = Messages(sys.modules[NAME])
    save(service, CHANGED, seconds_ago=50)
    assert poll(reloader, 2, messages) == RELOADED
    assert set(messages.alive) == {0}
