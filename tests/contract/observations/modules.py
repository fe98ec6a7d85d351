"""What the import system gives."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any
from unittest.mock import patch

from observations import outcome
from observations.agents import Agent, MockNexus

PACKAGE = "kaizen.integrations.nexus"
DEFINED_IN = {
    "base": ["NexusDeploymentMixin", "NexusConnection"],
    "connection": ["NexusConnection"],
    "deployment": [
        "deploy_as_api",
        "deploy_as_cli",
        "deploy_as_mcp",
        "deploy_multi_channel",
        "deploy_with_sessions",
        "_deployment_cache",
    ],
    "deployment_cache": ["DeploymentCache", "get_deployment_cache", "clear_deployment_cache"],
    "monitoring": [
        "PerformanceMetrics",
        "PerformanceMonitor",
        "get_global_metrics",
        "reset_global_metrics",
    ],
    "parameter_mapper": ["ParameterMapper"],
    "session_manager": ["CrossChannelSession", "NexusSessionManager"],
}


def the_package_is_found_in_every_way(nexus: ModuleType) -> Any:
    import kaizen.integrations
    import kaizen.integrations.nexus as imported
    from kaizen.integrations import nexus as attribute

    return [
        imported is nexus,
        attribute is nexus,
        kaizen.integrations.nexus is nexus,
        sys.modules[PACKAGE] is nexus,
        importlib.import_module(PACKAGE) is nexus,
        nexus.__name__,
        nexus.__package__,
        [nexus.NEXUS_AVAILABLE, nexus.Nexus is not None, isinstance(nexus.__version__, str)],
    ]


def the_submodules_are_found_in_every_way(nexus: ModuleType) -> Any:
    import kaizen.integrations.nexus.deployment as d

    return [
        d is importlib.import_module(f"{PACKAGE}.deployment") is nexus.deployment,
        [
            [name, importlib.import_module(f"{PACKAGE}.{name}") is getattr(nexus, name)]
            for name in DEFINED_IN
        ],
        outcome(importlib.import_module, f"{PACKAGE}.nowhere"),
        outcome(getattr, nexus.deployment, "nowhere"),
        hasattr(nexus, "nowhere"),
    ]


def each_name_is_where_it_was(nexus: ModuleType) -> Any:
    return [
        [module, name, getattr(getattr(nexus, module), name) is getattr(nexus, name, None)]
        for module, names in DEFINED_IN.items()
        for name in names
    ]


def what_a_star_imports(nexus: ModuleType) -> Any:
    namespace: dict[str, Any] = {}
    exec(f"from {PACKAGE} import *", namespace)  # noqa: S102 - a star is for modules alone
    return [sorted(set(namespace) - {"__builtins__"}), sorted(nexus.__all__)]


def patching_a_function(nexus: ModuleType) -> Any:
    class Connected(nexus.NexusDeploymentMixin, Agent):  # type: ignore[misc, name-defined]
        to_workflow = Agent.to_workflow

    original = nexus.deployment.deploy_as_api
    agent, app = Connected(), MockNexus()
    with patch(f"{PACKAGE}.deployment.deploy_as_api", return_value="patched") as patched:
        during = [
            nexus.deployment.deploy_as_api is patched,
            nexus.deploy_as_api is original,
            agent.deploy_as_api(app, "qa"),
            patched.call_count,
        ]
    return [
        during,
        nexus.deployment.deploy_as_api is original,
        agent.deploy_as_api(app, "qa"),
    ]


def patching_the_package(nexus: ModuleType) -> Any:
    original = nexus.deploy_as_cli
    with patch(f"{PACKAGE}.deploy_as_cli") as patched:
        during = [nexus.deploy_as_cli is patched, nexus.deployment.deploy_as_cli is original]
    with patch.object(nexus.session_manager, "NexusSessionManager") as patched:
        during.append(nexus.session_manager.NexusSessionManager is patched)
        during.append(nexus.NexusSessionManager is not patched)
    return [
        during,
        nexus.deploy_as_cli is original,
        nexus.session_manager.NexusSessionManager is nexus.NexusSessionManager,
        outcome(patch(f"{PACKAGE}.deployment.nowhere").start),
    ]


def another_cache_for_the_deployments(nexus: ModuleType) -> Any:
    cache = nexus.DeploymentCache()
    with patch(f"{PACKAGE}.deployment._deployment_cache", cache):
        nexus.deploy_as_api(Agent(), MockNexus(), "patched")
    nexus.deploy_as_api(Agent(), MockNexus(), "not patched-in".replace(" ", "_"))
    return [
        cache.stats()["size"],
        nexus.deployment._deployment_cache is nexus.get_deployment_cache(),
    ]


def reloading_a_module(nexus: ModuleType) -> Any:
    module = nexus.parameter_mapper
    module.left_over = True
    nexus.ParameterMapper = "mine"
    seen = [importlib.reload(module) is module, sys.modules[module.__name__] is module]
    seen += [importlib.reload(nexus) is nexus, sys.modules[PACKAGE] is nexus]
    return [
        *seen,
        nexus.ParameterMapper is module.ParameterMapper,
        module.ParameterMapper.to_api_response(1),
        module.left_over,
    ]
