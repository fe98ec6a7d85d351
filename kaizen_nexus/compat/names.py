"""Which name of ``kaizen.integrations.nexus`` lives where in this package."""

from __future__ import annotations

__all__ = ["ORIGINAL", "PACKAGE_NAMES", "SUBMODULES"]

ORIGINAL = "kaizen.integrations.nexus"


def _from(module: str, *names: str) -> dict[str, str]:
    return {name: f"kaizen_nexus.{module}:{name}" for name in names}


_BASE = _from("deployment.connection", "NexusDeploymentMixin")
_CONNECTION = _from("deployment.connection", "NexusConnection")
_FUNCTIONS = _from(
    "deployment.functions",
    "deploy_as_api",
    "deploy_as_cli",
    "deploy_as_mcp",
    "deploy_multi_channel",
    "deploy_with_sessions",
)
_CACHE = _from(
    "deployment.cache", "DeploymentCache", "get_deployment_cache", "clear_deployment_cache"
)
_MONITORING = _from(
    "monitoring",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "get_global_metrics",
    "reset_global_metrics",
)
_PARAMETERS = _from("deployment.parameters", "ParameterMapper")
_SESSIONS = _from("sessions", "CrossChannelSession", "NexusSessionManager")
_MODELS = _from("compat.dataflow", "register_session_models")
_STORAGE = _from("compat.dataflow", "SessionStorage")

SUBMODULES: dict[str, dict[str, str]] = {
    "base": {**_BASE, **_CONNECTION},
    "connection": _CONNECTION,
    # The cache is private there, too, but it is what tests replace to begin with an empty one.
    "deployment": {**_FUNCTIONS, **_from("deployment.functions", "_deployment_cache")},
    "deployment_cache": _CACHE,
    "models": _MODELS,
    "monitoring": _MONITORING,
    "parameter_mapper": _PARAMETERS,
    "session_manager": _SESSIONS,
    "storage": {**_STORAGE, **_MODELS, **_from("sessions", "CrossChannelSession")},
}
"""For each submodule of the original: name -> ``module:attribute`` of ours."""

PACKAGE_NAMES: dict[str, str] = {
    **_from("compat", "NEXUS_AVAILABLE"),
    **_from("nexus", "Nexus"),
    "__version__": "kaizen_nexus:__version__",
    **_FUNCTIONS,
    **_CACHE,
    **_SESSIONS,
    **_MONITORING,
    **_CONNECTION,
    **_BASE,
    **_PARAMETERS,
    **_from("compat.dataflow", "register_session_models", "SessionStorage", "_DATAFLOW_AVAILABLE"),
}
"""The names of the package itself."""
