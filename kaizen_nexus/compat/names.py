"""Which name of ``kaizen.integrations.nexus`` lives where in this package."""

from __future__ import annotations

__all__ = ["PACKAGE_NAMES", "SUBMODULES"]

_FUNCTIONS = {
    name: f"kaizen_nexus.deployment.functions:{name}"
    for name in (
        "deploy_as_api",
        "deploy_as_cli",
        "deploy_as_mcp",
        "deploy_multi_channel",
        "deploy_with_sessions",
    )
}
_CACHE = {
    name: f"kaizen_nexus.deployment.cache:{name}"
    for name in ("DeploymentCache", "get_deployment_cache", "clear_deployment_cache")
}
_SESSIONS = {
    name: f"kaizen_nexus.sessions:{name}" for name in ("CrossChannelSession", "NexusSessionManager")
}
_MONITORING = {
    name: f"kaizen_nexus.monitoring:{name}"
    for name in (
        "PerformanceMetrics",
        "PerformanceMonitor",
        "get_global_metrics",
        "reset_global_metrics",
    )
}
_CONNECTION = {"NexusConnection": "kaizen_nexus.deployment.connection:NexusConnection"}
_BASE = {"NexusDeploymentMixin": "kaizen_nexus.deployment.connection:NexusDeploymentMixin"}
_PARAMETERS = {"ParameterMapper": "kaizen_nexus.deployment.parameters:ParameterMapper"}
_STORAGE = {"SessionStorage": "kaizen_nexus.sessions.storage:SessionStorage"}

SUBMODULES: dict[str, dict[str, str]] = {
    "base": _BASE,
    "connection": _CONNECTION,
    "deployment": _FUNCTIONS,
    "deployment_cache": _CACHE,
    "models": {},
    "monitoring": _MONITORING,
    "parameter_mapper": _PARAMETERS,
    "session_manager": _SESSIONS,
    "storage": _STORAGE,
}
"""For each submodule of the original: public name -> ``module:attribute`` of ours."""

PACKAGE_NAMES: dict[str, str] = {
    "NEXUS_AVAILABLE": "kaizen_nexus.compat:NEXUS_AVAILABLE",
    "Nexus": "kaizen_nexus.nexus:Nexus",
    **_FUNCTIONS,
    **_CACHE,
    **_SESSIONS,
    **_MONITORING,
    **_CONNECTION,
    **_BASE,
    **_PARAMETERS,
    **_STORAGE,
}
"""The public names of the package itself."""
