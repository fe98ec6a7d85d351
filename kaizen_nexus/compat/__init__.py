"""Standing in for ``kaizen.integrations.nexus``: code written for it runs on this package."""

from __future__ import annotations

from importlib.util import find_spec

from kaizen_nexus.compat.installation import install, uninstall

__all__ = ["NEXUS_AVAILABLE", "install", "uninstall"]

NEXUS_AVAILABLE = all(find_spec(module) for module in ("msgspec", "starlette", "uvicorn"))
"""Whether what `Nexus` needs is installed."""
