"""``nexus mcp``, and afterwards what the process recorded, which no client can ask it for.

Run as ``python -m kaizen_nexus.console.observed TARGET FILE``: it is the program itself,
from its own entry point, with a look at the app once it has come to its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from kaizen_nexus.console.main import main as run_program

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus

__all__ = ["main"]


def main(target: str, report: Path) -> int:
    """Run ``nexus mcp TARGET``, write what it recorded to `report`, and return its exit code."""
    code = run_program(["mcp", target])
    app = served(target)
    if app is not None:
        report.write_text(json.dumps(observations(app)), encoding="utf-8")
    return code


def served(target: str) -> Nexus | None:
    """Return the app that ``nexus mcp`` has loaded for `target`, without loading it anew."""
    from kaizen_nexus.nexus import Nexus

    place, _, attribute = target.rpartition(":")
    if not place or "/" in attribute or "\\" in attribute:
        place, attribute = target, ""
    for module in _modules(place):
        found: object = module
        for name in (attribute or "app").split("."):
            found = getattr(found, name, None)
        if isinstance(found, Nexus):
            return found
    return None


def observations(app: Nexus) -> dict[str, Any]:
    """Return the number of records of each operation, and the state of each session."""
    summary = app.metrics.get_summary()
    sessions = {key: session.get_state() for key, session in app.session_manager.sessions.items()}
    states: dict[str, Any] = msgspec.to_builtins(
        sessions, enc_hook=lambda value: f"<{type(value).__qualname__}>", str_keys=True
    )
    return {
        "counts": {name: int(each["count"]) for name, each in summary.items()},
        "states": states,
    }


def _modules(place: str) -> Iterator[ModuleType]:
    if not place.endswith(".py"):
        if place in sys.modules:
            yield sys.modules[place]
        return
    path = Path(place).resolve()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and Path(file).resolve() == path:
            yield module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
