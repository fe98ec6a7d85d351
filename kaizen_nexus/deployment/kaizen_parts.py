"""The parts of a Kaizen agent that shape its workflow, as plain values for the cache key.

They are read at each deployment, because all of them may change: the configuration and the
signature are mutable, the provider may come from the environment, and tools are discovered while
the agent runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from kaizen_nexus.agents.kaizen import kaizen_signature, resolved_type, validates_itself
from kaizen_nexus.agents.signature import read_signature
from kaizen_nexus.agents.structure import signature_digest
from kaizen_nexus.deployment.key_fields import TYPE, type_parts
from kaizen_nexus.deployment.settings import SCALARS, settings

__all__ = ["kaizen_parts", "tool_parts"]

_MAX_TYPES = 256
_BASE = "kaizen.core.base_agent"
_ENVIRONMENT = "kaizen.core._provider_env"

_KEPT_BY_KAIZEN = """
config signature strategy memory shared_memory agent_id control_protocol checkpoint_manager
execution_context permission_policy approval_manager hook_manager logger workflow_generator run
_mcp_servers _mcp_client _discovered_mcp_tools _discovered_mcp_resources _discovered_mcp_prompts
_hook_manager _observability_manager _trace_exporter _tracing_manager _node_id _node_metadata
_temp_param_definitions _cache_enabled _param_cache _param_cache_lock _cache_max_size
_cached_params _cache_hits _cache_misses _cache_evictions _framework _agent _workflow
_workflow_provider _agent_logger _metrics _retry_config
"""
_PLUMBING = frozenset(_KEPT_BY_KAIZEN.split())
"""Attributes that Kaizen's own class sets, which other parts cover or no workflow depends on."""


def kaizen_parts(agent: Any, entry: object, *, builds: bool) -> dict[str, Any]:
    """Return everything that shapes the workflow of a Kaizen agent.

    Parameters
    ----------
    agent
        The agent.
    entry
        The method of its class that runs it.
    builds
        Whether the result of its own ``to_workflow()`` is cached.

    Raises
    ------
    TypeError
        Something has no description.
    """
    config = getattr(agent, "config", None)
    return {
        "checks_results": validates_itself(agent, entry),
        "provider": _provider(config),
        "model": getattr(config, "model", None) or os.environ.get("DEFAULT_LLM_MODEL"),
        "config": settings(config),
        "prompt": _prompt(agent),
        "signature": _signature(kaizen_signature(agent)),
        "tools": tool_parts(agent),
        "mcp_servers": settings(getattr(agent, "_mcp_servers", None)),
        "mcp_tools": settings(getattr(agent, "_discovered_mcp_tools", None)),
        "strategy": _strategy(getattr(agent, "strategy", None)),
        "attributes": _own_attributes(agent) if builds else None,
    }


def tool_parts(agent: object) -> list[Any]:
    """Describe an agent's ``tools``: functions by signature, objects by content."""
    tools = getattr(agent, "tools", None)
    if not tools:
        return []
    if isinstance(tools, Mapping):
        return [(name, _tool(tool)) for name, tool in tools.items()]
    return [_tool(tool) for tool in tools]


def _tool(tool: Any) -> Any:
    if callable(tool) and hasattr(tool, "__qualname__"):
        call = read_signature(tool)
        return (TYPE, call.qualified_name, signature_digest(call))
    return settings(tool)


def _provider(config: Any) -> Any:
    """Return the provider that the agent would use now, resolved as Kaizen does."""
    configured = getattr(config, "llm_provider", None)
    if configured:
        return settings(configured)
    detect = getattr(sys.modules.get(_ENVIRONMENT), "detect_provider_from_env", None)
    return detect() if callable(detect) else None


def _prompt(agent: Any) -> Any:
    """Return the effective system prompt, which a class may compute."""
    generate = getattr(agent, "_generate_system_prompt", None)
    if not callable(generate):
        return settings(getattr(agent, "system_prompt", None))
    try:
        return settings(generate())
    except Exception as error:
        raise TypeError(f"its system prompt cannot be computed: {error!r}") from error


def _signature(signature: Any) -> dict[str, Any]:
    cls = type(signature)
    inputs, outputs = signature.input_fields, signature.output_fields
    parts = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "inputs": {name: _field(signature, name, field) for name, field in inputs.items()},
        "outputs": {name: _field(signature, name, field) for name, field in outputs.items()},
        "order": [*inputs, *outputs],
    }
    for name in ("description", "intent", "guidelines", "execution_pattern", "parameters"):
        value = getattr(signature, name, None)
        if value:
            parts[name] = settings(value)
    if not inputs or not outputs:
        parts["names"] = settings([getattr(signature, "inputs", None), signature.outputs])
        for name in ("input_types", "output_types"):
            labels = getattr(signature, name, None) or {}
            parts[name] = {label: _type(kind) for label, kind in labels.items()}
    return parts


def _field(signature: Any, name: str, field: Mapping[str, Any]) -> dict[str, Any]:
    parts = dict(field)
    for key, value in field.items():
        if key == "type":
            parts[key] = _type(resolved_type(signature, name, value))
        elif type(value) not in SCALARS:
            parts[key] = settings(value)
    return parts


_types: dict[int, tuple[Any, tuple[str, str, str]]] = {}
"""By identity, because different annotations may be equal."""


def _type(annotation: Any) -> tuple[str, str, str]:
    """Describe a type, once for each annotation object."""
    known = _types.get(id(annotation))
    if known is not None and known[0] is annotation:
        return known[1]
    described = type_parts(annotation)
    if len(_types) >= _MAX_TYPES:
        _types.clear()
    _types[id(annotation)] = (annotation, described)
    return described


def _strategy(strategy: Any) -> dict[str, Any]:
    """Describe a strategy by its class and its plain settings."""
    cls = type(strategy)
    own = getattr(strategy, "__dict__", {})
    return {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        **{name: value for name, value in own.items() if type(value) in SCALARS},
    }


def _own_attributes(agent: Any) -> Any:
    """Describe all attributes of an agent whose class has its own ``to_workflow()``."""
    build = getattr(type(agent), "to_workflow", None)
    own = vars(agent)
    if getattr(build, "__module__", "") == _BASE and "to_workflow" not in own:
        return None
    return settings({name: value for name, value in own.items() if name not in _PLUMBING})
