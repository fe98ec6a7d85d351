"""The deployment cache's key: a digest of everything that shapes a workflow.

The same agent, built again in another process with another hash seed, has the same fingerprint;
any difference in name, class, signature, types, configuration, prompt or tools gives another.
"""

from __future__ import annotations

from typing import Any

from kaizen_nexus._accel import cache_key
from kaizen_nexus.agents.adapters import AgentShape, declared_fields
from kaizen_nexus.agents.signature import read_signature
from kaizen_nexus.agents.structure import fields_digest, signature_digest

__all__ = ["fingerprint"]

_PROMPTS = ("system_prompt", "prompt")


def fingerprint(agent: object, name: str, shape: AgentShape, flavour: str) -> str:
    """Return the cache key of what would be built from `agent`.

    Parameters
    ----------
    agent
        The agent to deploy.
    name
        The name it is deployed under.
    shape
        What `describe_agent` found.
    flavour
        What is built: agents of one shape are built differently for different apps.

    Raises
    ------
    TypeError
        Something that shapes the workflow has no canonical encoding; such an agent is built anew
        at each deployment rather than confused with another.
    """
    fields = declared_fields(agent)
    return cache_key(
        (
            flavour,
            name,
            shape.kind,
            f"{type(agent).__module__}.{type(agent).__qualname__}",
            type(agent).__doc__,
            None if shape.target is None else signature_digest(read_signature(shape.target)),
            None if fields is None else fields_digest(fields),
            _settings(getattr(agent, "config", None)),
            [(p, _settings(getattr(agent, p))) for p in _PROMPTS if hasattr(agent, p)],
            [_tool(tool) for tool in getattr(agent, "tools", None) or ()],
            None if shape.kind != "builder" else _settings(vars(agent)),
        )
    )


def _settings(value: Any) -> Any:
    """Return a configuration as an encodable value; a plain object counts by its attributes."""
    if isinstance(value, dict):
        return {key: _settings(item) for key, item in value.items()}
    if _is_plain_object(value):
        cls = type(value)
        return (f"{cls.__module__}.{cls.__qualname__}", _class_settings(cls), vars(value))
    return value


def _is_plain_object(value: Any) -> bool:
    """Whether `value` is an instance of an ordinary class: attributes and nothing canonical."""
    cls = type(value)
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, type)
        and not callable(value)
        and not any(
            hasattr(cls, marker)
            for marker in (
                "__cache_key__",
                "__dataclass_fields__",
                "__pydantic_fields__",
                "__members__",
            )
        )
        and cls.__mro__[1:] == (object,)
    )


def _class_settings(cls: type) -> dict[str, Any]:
    """Return the public class attributes, which configurations without instances consist of."""
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith("_") and not callable(value) and not hasattr(value, "__get__")
    }


def _tool(tool: Any) -> Any:
    """Return what is known of a tool: a function by its signature, an object by its attributes."""
    if callable(tool) and hasattr(tool, "__qualname__"):
        return signature_digest(read_signature(tool))
    return _settings(tool)
