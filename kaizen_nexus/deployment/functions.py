"""The five functions that deploy an agent: build it or find it cached, then hand it to the app."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.adapters import AgentShape, as_workflow, build_plan, describe_agent
from kaizen_nexus.deployment.cache import get_deployment_cache
from kaizen_nexus.deployment.fingerprint import fingerprint
from kaizen_nexus.deployment.names import check_name, check_prefix
from kaizen_nexus.deployment.target import API_PREFIX, CHANNELS, DeploymentTarget
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


def deploy_as_api(
    agent: object,
    nexus_app: object,
    endpoint_name: str,
    prefix: str = API_PREFIX,
    use_cache: bool = True,
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
    check_prefix(prefix)
    _deploy(agent, nexus_app, endpoint_name, ("api",), use_cache=use_cache, prefix=prefix)
    return f"{prefix}/{endpoint_name}/execute"


def deploy_as_cli(
    agent: object,
    nexus_app: object,
    command_name: str,
    command_prefix: str = COMMAND_PREFIX,
    use_cache: bool = True,
) -> str:
    """Deploy `agent` as a command; see `deploy_as_api` for the parameters.

    Parameters
    ----------
    command_prefix
        How the ``nexus run`` command is spelt where it will be typed, for example
        ``"uvx nexus run"``.

    Returns
    -------
    str
        The command line, to which the inputs are added as options: ``"nexus run {name}"``.
    """
    if not isinstance(command_prefix, str) or not command_prefix.strip():
        raise ValueError("command_prefix is empty: leave it out for 'nexus run'")
    _deploy(agent, nexus_app, command_name, ("cli",), use_cache=use_cache)
    return f"{command_prefix} {command_name}"


def deploy_as_mcp(
    agent: object,
    nexus_app: object,
    tool_name: str,
    tool_description: str | None = None,
    use_cache: bool = True,
) -> str:
    """Deploy `agent` as an MCP tool; see `deploy_as_api` for the parameters.

    Parameters
    ----------
    tool_description
        What the tool list says of it; default is the agent's docstring.

    Returns
    -------
    str
        The tool's name.
    """
    if tool_description is not None and not isinstance(tool_description, str):
        raise TypeError(
            f"tool_description must be a str, not {type(tool_description).__qualname__}"
        )
    _deploy(
        agent, nexus_app, tool_name, ("mcp",), use_cache=use_cache, description=tool_description
    )
    return tool_name


def deploy_multi_channel(
    agent: object, nexus_app: object, name: str, use_cache: bool = True
) -> dict[str, str]:
    """Deploy `agent` on all three channels at once; see `deploy_as_api` for the parameters.

    Returns
    -------
    dict
        ``api``: the path, ``cli``: the command line, ``mcp``: the tool's name.
    """
    _deploy(agent, nexus_app, name, CHANNELS, use_cache=use_cache)
    return _identifiers(name)


def deploy_with_sessions(
    agent: object,
    nexus_app: object,
    name: str,
    session_manager: NexusSessionManager | None = None,
) -> dict[str, str]:
    """Deploy `agent` on all three channels, with a session for each request that brings none.

    Parameters
    ----------
    session_manager
        Where the app's sessions live from now on; default is the app's own manager.

    Returns
    -------
    dict
        As `deploy_multi_channel`.

    Raises
    ------
    ValueError
        The app already keeps sessions in another manager.
    """
    _deploy(agent, nexus_app, name, CHANNELS, sessions=True, session_manager=session_manager)
    return _identifiers(name)


def _identifiers(name: str) -> dict[str, str]:
    return {
        "api": f"{API_PREFIX}/{name}/execute",
        "cli": f"{COMMAND_PREFIX} {name}",
        "mcp": name,
    }


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
) -> None:
    check_name(name)
    if not isinstance(app, DeploymentTarget):
        _check_app(app)
        _register(agent, app, name, tuple(channels), use_cache)
        return
    with PerformanceMonitor(app.metrics, "deployment"):
        workflow = _workflow(agent, name, use_cache)
        if description is not None:
            workflow = workflow.described(description)
        if session_manager is not None:
            app.adopt_session_manager(session_manager)
        app.deploy(workflow, channels=channels, prefix=prefix, sessions=sessions)


def _check_app(app: object) -> None:
    if app is None:
        raise ValueError("nexus_app is None: pass the app, for example Nexus()")
    if not callable(getattr(app, "register", None)):
        raise TypeError(
            f"{type(app).__qualname__} cannot take a deployment: it has no register(name, "
            "workflow); pass a Nexus app"
        )


def _workflow(agent: object, name: str, use_cache: bool) -> Workflow:
    """Return `agent` as a workflow of ours, bound from a cached plan where there is one."""
    shape = describe_agent(agent)
    key = _key(agent, name, shape, "plan") if use_cache else None
    target = shape.target
    if key is None or shape.kind == "workflow":
        return as_workflow(agent, name)
    if target is None:
        built: Workflow = get_deployment_cache().get_or_build(key, lambda: as_workflow(agent, name))
        return built
    plan = get_deployment_cache().get_or_build(key, lambda: build_plan(agent, shape))
    workflow: Workflow = plan.bind(name, target)
    return workflow


def _register(
    agent: object, app: Any, name: str, channels: tuple[str, ...], use_cache: bool
) -> None:
    """Hand the built workflow to an app of another kind, one entry for each channel.

    Such apps refuse a name that is registered already, so it is deregistered first: replacing a
    deployment without a gap takes an app of ours.
    """
    shape = describe_agent(agent)
    builder = getattr(agent, "to_workflow", None)

    def build() -> object:
        return builder().build() if callable(builder) else as_workflow(agent, name)

    key = _key(agent, name, shape, "built") if use_cache and callable(builder) else None
    workflow = build() if key is None else get_deployment_cache().get_or_build(key, build)
    names = [name] if len(channels) == 1 else [f"{name}_{channel}" for channel in channels]
    for entry in names:
        deregister = getattr(app, "deregister", None)
        if callable(deregister):
            deregister(entry)
        app.register(entry, workflow)


def _key(agent: object, name: str, shape: AgentShape, flavour: str) -> str | None:
    """Return the cache key, or None for an agent that has no canonical one: it is built anew."""
    try:
        return fingerprint(agent, name, shape, flavour)
    except (TypeError, ValueError, RuntimeError):
        return None
