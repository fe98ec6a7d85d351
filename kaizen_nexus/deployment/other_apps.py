"""Deploying on an app of another kind, which takes a built workflow by ``register(name, ...)``.

Such apps refuse a name that is registered already, so it is deregistered first: replacing a
deployment without a gap takes an app of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaizen_nexus.agents.adapters import describe_agent, foreign_workflow, is_workflow
from kaizen_nexus.agents.kailash import is_imported
from kaizen_nexus.sessions import NexusSessionManager

__all__ = ["build_for", "check_app", "keep_session_manager", "register"]


def check_app(app: object) -> None:
    """Raise unless workflows can be registered with `app`.

    Raises
    ------
    ValueError
        There is no app.
    TypeError
        It has no ``register``.
    """
    if app is None:
        raise ValueError("nexus_app is None: pass the app, for example Nexus()")
    if not callable(getattr(app, "register", None)):
        raise TypeError(
            f"{type(app).__qualname__} cannot take a deployment: it has no register(name, "
            "workflow); pass a Nexus app"
        )


def build_for(app: object, agent: object, name: str) -> object:
    """Return what to register with `app`: what the agent builds, or else a `Workflow` of ours.

    Raises
    ------
    TypeError
        The agent cannot be deployed, or `app` is of kailash-nexus and takes none but Kailash's
        workflows.
    """
    describe_agent(agent)
    workflow = foreign_workflow(agent, name)
    if is_imported(app, "nexus", "Nexus") and is_workflow(workflow):
        raise TypeError(
            f"{type(agent).__qualname__} cannot be deployed on an app of kailash-nexus, which "
            "takes workflows of Kailash, as to_workflow().build() of Kaizen's BaseAgent gives: "
            "derive it from that class, or deploy it on kaizen_nexus.Nexus"
        )
    return workflow


def register(app: Any, name: str, channels: Sequence[str], workflow: object) -> None:
    """Register `workflow` under `name`, or under one name for each of several channels.

    If the app refuses one of them, those registered before are taken off again.
    """
    names = [name] if len(channels) == 1 else [f"{name}_{channel}" for channel in channels]
    deregister = getattr(app, "deregister", None)
    if not callable(deregister):
        deregister = _ignore
    registered: list[str] = []
    try:
        for entry in names:
            deregister(entry)
            app.register(entry, workflow)
            registered.append(entry)
    except BaseException:
        for entry in registered:
            deregister(entry)
        raise


def keep_session_manager(app: Any, manager: NexusSessionManager | None) -> None:
    """Leave `manager`, or a new one, with an app that has none; nothing else reads it."""
    if not hasattr(app, "_session_manager"):
        app._session_manager = NexusSessionManager() if manager is None else manager


def _ignore(_: str) -> None:
    """Stand in for the ``deregister`` that an app lacks."""
