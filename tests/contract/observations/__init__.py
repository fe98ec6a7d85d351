"""Programs written for ``kaizen.integrations.nexus``, and what can be observed of each.

A program is a public function of a module here. It takes the package, whichever answers for it, and
returns plain data. `outcome` observes what may raise. Those in `differences` are known to observe
different things; all others the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["outcome", "refuses"]


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return what calling `function` comes to: its result, or the type of its exception."""
    try:
        return ["returned", function(*arguments, **options)]
    except Exception as error:
        return ["raised", type(error).__name__]


def refuses(function: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    """Return whether calling `function` raises."""
    return outcome(function, *arguments, **options)[0] == "raised"
