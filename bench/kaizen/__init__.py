"""The suite ``kaizen``: this package against the one that it stands in for, in one process.

Each is loaded as itself and called by the public names that code for either uses, on the same
sessions, records, configuration and agent. What bench.core measures already is taken from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import kaizen_nexus
from bench.core.contenders import original
from bench.core.operations import measured
from bench.core.scale import Scale
from bench.report import Section

__all__ = ["PACKAGES", "measure", "require_original"]

PACKAGES = ("numpy", "kailash-kaizen", "kailash-nexus", "kailash", "pydantic")
"""What the figures depend on."""

INSTALL = "pip install 'kailash-kaizen[observability]' kailash-nexus"


def measure(scale: Scale, say: Callable[[str], None]) -> list[Section]:
    """Measure everything.

    Parameters
    ----------
    scale
        How much to measure.
    say
        Reports what is being measured.

    Raises
    ------
    SystemExit
        Kaizen is not installed, not completely, or has been replaced by this package.
    WrongAnswerError
        Either does something else than what it would be timed for.
    """
    say("importing the original")
    package = require_original()
    # These derive from Kaizen's classes, or import what does.
    from bench.kaizen.agent import make_agent
    from bench.kaizen.deployment import deployment
    from bench.kaizen.operations import operations

    with silence():
        agent = make_agent()
        return [
            measured("The same operations", operations(agent, scale, say), scale, say),
            deployment(package, agent, scale, say),
        ]


def require_original() -> ModuleType:
    """Import the original, and what its agents need to run.

    Raises
    ------
    SystemExit
        Something is missing, or is this package.
    """
    try:
        package = original()
        if package.NexusSessionManager is kaizen_nexus.NexusSessionManager:
            raise SystemExit(
                "Error: kaizen_nexus.install() has replaced what the suite 'kaizen' compares with"
            )
        import_module("kaizen.core.autonomy.hooks.types")
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"Error: the suite 'kaizen' needs {error.name}, which is not installed; run: {INSTALL}"
        ) from error
    return package


@contextmanager
def silence() -> Iterator[None]:
    """Keep everybody from logging: the original logs each deployment, which would be timed."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
