"""``nexus mcp``, which writes down what it recorded when it ends; no client could ask it for that.

``nexus check`` runs it as ``python -m kaizen_nexus.console.observed TARGET FILE``.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kaizen_nexus.console.serving import serve_stdio

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus


def write_observations(file: Path, app: Nexus) -> None:
    """Write the number of records of each operation, and the state of each session, to `file`."""
    counts = {name: int(each["count"]) for name, each in app.metrics.get_summary().items()}
    sessions = {key: session.get_state() for key, session in app.session_manager.sessions.items()}
    states = msgspec.to_builtins(
        sessions, enc_hook=lambda value: f"<{type(value).__qualname__}>", str_keys=True
    )
    file.write_text(json.dumps({"counts": counts, "states": states}), encoding="utf-8")


if __name__ == "__main__":
    serve_stdio(sys.argv[1], partial(write_observations, Path(sys.argv[2])))
