"""The five functions that deploy an agent: they build it or find it cached, and register it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kaizen_nexus.agents.adapters import as_workflow, describe_agent
from kaizen_nexus.deployment.cache import get_deployment_cache
from kaizen_nexus.deployment.fingerprint import BUILT, PLAN
from kaizen_nexus.deployment.names import check_command_prefix, check_name, check_prefix
from kaizen_nexus.deployment.other_apps import (
    build_for,
    check_app,
    keep_session_manager,
    register,
)
from kaizen_nexus.deployment.target import API_PREFIX, CHANNELS, DEFAULT_KEEP, DeploymentTarget
from kaizen_nexus.deployment.warming import warm_up
from kaizen_nexus.monitoring import PerformanceMonitor

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.sessions import NexusSessionManager

__all__ = [
    "deploy_as_api",
    "deploy_as_cli",
    "deploy_as_mcp",
    "deploy_multi_channel",
    "deploy_with_sessions",
]

COMMAND_PREFIX = "nexus run"

_deployment_cache = get_deployment_cache()


def deploy_as_api(
    agent: object,
    nexus_app: object,
    endpoint_name: str,
    prefix: str = API_PREFIX,
    use_cache: bool = True,
    *,
    keep: int = DEFAULT_KEEP,
) -> str:
    """Deploy `agent` as an HTTP endpoint.

    Redeploying a name replaces it atomically: no request ever sees it missing.

    Parameters
    ----------
    agent
        A `BaseAgent`, a function, or any object with ``run``, ``process`` or ``to_workflow``.
    nexus_app
        A `Nexus`, or any app with ``register(name, workflow)``.
    endpoint_name
        The name in the path.
    prefix
        The path before the name.
    use_cache
        Whether an equal agent's plan may be reused.
    keep
        How many former versions `Nexus.rollback` can restore afterwards; apps of another kind
        keep none.

    Returns
    -------
    str
        The path that answers ``POST``: ``"/api/workflows/{name}/execute"``.

    Raises
    ------
    ValueError
        There is no agent or app, or the name or prefix is unsafe.
    TypeError
        The agent cannot be deployed, or the app cannot register. Nothing is registered then.
    """
    _deploy(
        agent, nexus_app, endpoint_name, ("api",), use_cache=use_cache, prefix=prefix, keep=keep
    )
    return _path(prefix, endpoint_name)


def deploy_as_cli(
    agent: object,
    nexus_app: object,
    command_name: str,
    command_prefix: str = COMMAND_PREFIX,
    use_cache: bool = True,
    *,
    keep: int = DEFAULT_KEEP,
) -> str:
    """Deploy `agent` as a command; see `deploy_as_api` for the parameters.

    Parameters
    ----------
    command_prefix
        How users start the ``nexus run`` command, for example ``"uvx nexus run"``.

    Returns
    -------
    str
        The command line, to which the inputs are added as options: ``"nexus run {name}"``.
    """
    check_command_prefix(command_prefix)
    _deploy(agent, nexus_app, command_name, ("cli",), use_cache=use_cache, keep=keep)
    return f"{command_prefix} {command_name}"


def deploy_as_mcp(
    agent: object,
    nexus_app: object,
    tool_name: str,
    tool_description: str | None = None,
    use_cache: bool = True,
    *,
    keep: int = DEFAULT_KEEP,
) -> str:
    """Deploy `agent` as an MCP tool; see `deploy_as_api` for the parameters.

    Parameters
    ----------
    tool_description
        Its description in the list of tools; default is the agent's docstring.

    Returns
    -------
    str
        The tool's name.
    """
    _deploy(
        agent,
        nexus_app,
        tool_name,
        ("mcp",),
        use_cache=use_cache,
        description=tool_description,
        keep=keep,
    )
    return tool_name


def deploy_multi_channel(
    agent: object,
    nexus_app: object,
    name: str,
    use_cache: bool = True,
    *,
    prefix: str = API_PREFIX,
    command_prefix: str = COMMAND_PREFIX,
    tool_description: str | None = None,
    keep: int = DEFAULT_KEEP,
) -> dict[str, str]:
    """Deploy `agent` on all three channels at once; see `deploy_as_api` for the parameters.

    Parameters
    ----------
    prefix, command_prefix, tool_description
        Those of `deploy_as_api`, `deploy_as_cli` and `deploy_as_mcp`.

    Returns
    -------
    dict
        ``api``: the path, ``cli``: the command line, ``mcp``: the tool's name.
    """
    check_command_prefix(command_prefix)
    _deploy(
        agent,
        nexus_app,
        name,
        CHANNELS,
        use_cache=use_cache,
        prefix=prefix,
        description=tool_description,
        keep=keep,
    )
    return _identifiers(name, prefix, command_prefix)


def deploy_with_sessions(
    agent: object,
    nexus_app: object,
    name: str,
    session_manager: NexusSessionManager | None = None,
    *,
    keep: int = DEFAULT_KEEP,
) -> dict[str, str]:
    """Deploy `agent` on all three channels, with a session for each request that brings none.

    Parameters
    ----------
    session_manager
        Where the app's sessions live from now on; default is the app's own manager. On an app of
        another kind it is only kept, as the attribute ``_session_manager``.

    Returns
    -------
    dict
        As `deploy_multi_channel`.

    Raises
    ------
    ValueError
        The app already keeps sessions in another manager.
    """
    _deploy(
        agent, nexus_app, name, CHANNELS, sessions=True, session_manager=session_manager, keep=keep
    )
    return _identifiers(name)


def _path(prefix: str, name: str) -> str:
    return f"{prefix}/{name}/execute"


def _identifiers(
    name: str, prefix: str = API_PREFIX, command_prefix: str = COMMAND_PREFIX
) -> dict[str, str]:
    return {"api": _path(prefix, name), "cli": f"{command_prefix} {name}", "mcp": name}


def _deploy(
    agent: object,
    app: object,
    name: str,
    channels: Iterable[str],
    *,
    use_cache: bool = True,
    prefix: str = API_PREFIX,
    description: str | None = None,
    sessions: bool = False,
    session_manager: NexusSessionManager | None = None,
    keep: int = DEFAULT_KEEP,
) -> None:
    check_name(name)
    if description is not None and not isinstance(description, str):
        raise TypeError(f"tool_description must be a str, not {type(description).__qualname__}")
    if not isinstance(app, DeploymentTarget):
        check_app(app)
        built = _foreign_workflow(agent, app, name, use_cache)
        if sessions:
            keep_session_manager(app, session_manager)
        register(app, name, tuple(channels), built)
        return
    check_prefix(prefix)
    with PerformanceMonitor(app.metrics, "deployment"):
        workflow = _workflow(agent, name, use_cache)
        if description is not None:
            workflow = workflow.described(description)
        warm_up(agent)
        if session_manager is not None:
            app.adopt_session_manager(session_manager)
        app.deploy(workflow, channels=channels, prefix=prefix, sessions=sessions, keep=keep)


def _workflow(agent: object, name: str, use_cache: bool) -> Workflow:
    """Return `agent` as a workflow of ours, bound from a cached plan where there is one."""
    shape = describe_agent(agent)
    cachable = use_cache and shape.kind != "workflow"
    key = _deployment_cache.key_for(agent, name, shape, PLAN) if cachable else None
    workflow: Workflow
    if key is None:
        workflow = as_workflow(agent, name)
    elif shape.plan is None:
        workflow = _deployment_cache.get_or_build(key, lambda: as_workflow(agent, name))
    else:
        workflow = _deployment_cache.get_or_build(key, shape.plan).bind(name, shape.target)
    return workflow


def _foreign_workflow(agent: object, app: object, name: str, use_cache: bool) -> object:
    """Return what to register for `agent` with an app of another kind, built or cached."""
    shape = describe_agent(agent)
    cachable = use_cache and callable(getattr(agent, "to_workflow", None))
    key = _deployment_cache.key_for(agent, name, shape, BUILT) if cachable else None
    if key is None:
        return build_for(app, agent, name)
    built: object = _deployment_cache.get_or_build(key, lambda: build_for(app, agent, name))
    return built
