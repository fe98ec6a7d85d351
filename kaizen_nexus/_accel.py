"""The one place that chooses between the compiled core and its pure-Python twin.

``KAIZEN_NEXUS_IMPL`` decides: ``c`` insists on the compiled modules, ``py`` insists on the twin,
``auto`` (the default) takes the compiled modules where they were built. A compiled module that
exists but fails to load is always an error: it is never silently replaced by a slower one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # both have the same signatures, which a test compares
    from kaizen_nexus._fallback.cache_key import cache_key
    from kaizen_nexus._fallback.latency_histogram import (
        LatencyHistogram,
        LatencyRecorders,
        PerformanceMonitor,
        SlidingLatencyHistogram,
    )
    from kaizen_nexus._fallback.session_table import SessionCalls, SessionHandle, SessionTable

__all__ = [
    "IMPLEMENTATION",
    "LatencyHistogram",
    "LatencyRecorders",
    "PerformanceMonitor",
    "SessionCalls",
    "SessionHandle",
    "SessionTable",
    "SlidingLatencyHistogram",
    "cache_key",
]

_COMPILED = "kaizen_nexus._core"
_PURE = "kaizen_nexus._fallback"
_HOMES = {
    "LatencyHistogram": "latency_histogram",
    "LatencyRecorders": "latency_histogram",
    "PerformanceMonitor": "latency_histogram",
    "SessionCalls": "session_table",
    "SessionHandle": "session_table",
    "SessionTable": "session_table",
    "SlidingLatencyHistogram": "latency_histogram",
    "cache_key": "cache_key",
}


def _choose(requested: str) -> Literal["c", "py"]:
    """Return the implementation that `requested` (``auto``, ``c`` or ``py``) selects here."""
    if requested == "py":
        return "py"
    if requested not in {"auto", "c"}:
        raise ImportError(f"KAIZEN_NEXUS_IMPL={requested!r} is not known: use 'auto', 'c' or 'py'")
    try:
        importlib.import_module(f"{_COMPILED}.cache_key")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(_COMPILED):
            raise
        incomplete = [
            home
            for home in set(_HOMES.values())
            if importlib.util.find_spec(f"{_COMPILED}.{home}") is not None
        ]
        if incomplete:
            raise ImportError(
                f"the compiled core is incomplete: {error.name} is missing beside "
                f"{', '.join(sorted(incomplete))}; reinstall kaizen-nexus"
            ) from error
        if requested == "c":
            raise ImportError(
                "KAIZEN_NEXUS_IMPL=c, but the compiled core is not installed: reinstall with a "
                "C compiler present (pip install --force-reinstall --no-binary kaizen-nexus "
                "kaizen-nexus), or set KAIZEN_NEXUS_IMPL=auto"
            ) from error
        return "py"
    return "c"


IMPLEMENTATION: Literal["c", "py"] = _choose(os.environ.get("KAIZEN_NEXUS_IMPL", "auto"))


def __getattr__(name: str) -> Any:
    """Load a class or function of the chosen implementation on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = _COMPILED if IMPLEMENTATION == "c" else _PURE
    value = getattr(importlib.import_module(f"{package}.{home}"), name)
    globals()[name] = value
    return value
