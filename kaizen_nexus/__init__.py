"""Deploy any agent once; it answers over HTTP, the command line and MCP, with one session.

Every public name is imported on first use, so that one piece costs only what it needs: the
session manager and the metrics need numpy, the deployment functions need the extra ``serve``.
"""

from __future__ import annotations

# Every `nexus run` pays for what is imported here, so not even the module typing is.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kaizen_nexus._accel import (
        IMPLEMENTATION,
        LatencyHistogram,
        SessionTable,
        SlidingLatencyHistogram,
        cache_key,
    )
    from kaizen_nexus._errors import VersionConflictError
    from kaizen_nexus.access.settings import Auth, JwtSettings
    from kaizen_nexus.agents.base import BaseAgent
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.compat import NEXUS_AVAILABLE, install, uninstall
    from kaizen_nexus.deployment.cache import (
        DeploymentCache,
        clear_deployment_cache,
        get_deployment_cache,
    )
    from kaizen_nexus.deployment.connection import NexusConnection, NexusDeploymentMixin
    from kaizen_nexus.deployment.functions import (
        deploy_as_api,
        deploy_as_cli,
        deploy_as_mcp,
        deploy_multi_channel,
        deploy_with_sessions,
    )
    from kaizen_nexus.deployment.parameters import ParameterMapper
    from kaizen_nexus.monitoring import (
        PerformanceMetrics,
        PerformanceMonitor,
        get_global_metrics,
        reset_global_metrics,
    )
    from kaizen_nexus.nexus import Nexus
    from kaizen_nexus.runtime.breaker import Quarantine
    from kaizen_nexus.sessions import CrossChannelSession, NexusSessionManager

__version__ = "0.1.0"

_HOMES = {
    "IMPLEMENTATION": "_accel",
    "LatencyHistogram": "_accel",
    "SessionTable": "_accel",
    "SlidingLatencyHistogram": "_accel",
    "cache_key": "_accel",
    "BaseAgent": "agents.base",
    "Workflow": "agents.workflow",
    "NEXUS_AVAILABLE": "compat",
    "install": "compat",
    "uninstall": "compat",
    "DeploymentCache": "deployment.cache",
    "clear_deployment_cache": "deployment.cache",
    "get_deployment_cache": "deployment.cache",
    "NexusConnection": "deployment.connection",
    "NexusDeploymentMixin": "deployment.connection",
    "deploy_as_api": "deployment.functions",
    "deploy_as_cli": "deployment.functions",
    "deploy_as_mcp": "deployment.functions",
    "deploy_multi_channel": "deployment.functions",
    "deploy_with_sessions": "deployment.functions",
    "ParameterMapper": "deployment.parameters",
    "PerformanceMetrics": "monitoring",
    "PerformanceMonitor": "monitoring",
    "get_global_metrics": "monitoring",
    "reset_global_metrics": "monitoring",
    "Nexus": "nexus",
    "Quarantine": "runtime.breaker",
    "Auth": "access.settings",
    "JwtSettings": "access.settings",
    "CrossChannelSession": "sessions",
    "NexusSessionManager": "sessions",
    "VersionConflictError": "_errors",
}

__all__ = [
    "IMPLEMENTATION",
    "NEXUS_AVAILABLE",
    "Auth",
    "BaseAgent",
    "CrossChannelSession",
    "DeploymentCache",
    "JwtSettings",
    "LatencyHistogram",
    "Nexus",
    "NexusConnection",
    "NexusDeploymentMixin",
    "NexusSessionManager",
    "ParameterMapper",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "Quarantine",
    "SessionTable",
    "SlidingLatencyHistogram",
    "VersionConflictError",
    "Workflow",
    "__version__",
    "cache_key",
    "clear_deployment_cache",
    "deploy_as_api",
    "deploy_as_cli",
    "deploy_as_mcp",
    "deploy_multi_channel",
    "deploy_with_sessions",
    "get_deployment_cache",
    "get_global_metrics",
    "install",
    "reset_global_metrics",
    "uninstall",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    import importlib

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
