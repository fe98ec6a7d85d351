"""The MCP SDK, in the version that is installed: 1.23 and later, or 2.

Importing it takes half a second or more, so it is imported when a server is about to run and never
by a module that merely mentions MCP.
"""

from __future__ import annotations

import importlib
import re
from importlib import metadata

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.channels.mcp.sdk.surface import Sdk

__all__ = ["SDK"]

_REQUIRED = "mcp>=1.23,<3"


def _load() -> Sdk:
    version = metadata.version("mcp")
    major, minor = (int(part) for part in re.findall(r"\d+", version)[:2])
    if not (1, 23) <= (major, minor) < (3, 0):
        # As if it were not there: what to do about it is the same.
        raise ModuleNotFoundError(f"mcp {version} is not supported", name=_REQUIRED)
    # By name: neither package can be imported, or checked by a type checker, beside the other SDK.
    sdk: Sdk = importlib.import_module(f"{__name__}.{'v1' if major == 1 else 'v2'}").SDK
    return sdk


try:
    SDK = _load()
    """All that depends on the SDK's version."""
except ModuleNotFoundError as error:
    missing_extra("the MCP channel", "serve", error)
