"""The deployment cache's key: a digest of everything that shapes a workflow.

The same agent, built again in another process with another hash seed, has the same fingerprint;
any difference in name, class, signature, types, configuration, prompt or tools gives another.
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

from kaizen_nexus._accel import cache_key
from kaizen_nexus.agents.adapters import AgentShape
from kaizen_nexus.agents.base import BaseAgent, declared_signature
from kaizen_nexus.agents.signature import read_signature
from kaizen_nexus.agents.structure import class_digest, signature_digest

__all__ = ["fingerprint"]

MAX_DEPTH = 50


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
    cls = type(agent)
    declared = declared_signature(agent) if isinstance(agent, BaseAgent) else None
    return cache_key(
        (
            flavour,
            name,
            shape.kind,
            cls.__module__,
            cls.__qualname__,
            cls.__doc__,
            None if shape.target is None else signature_digest(read_signature(shape.target)),
            None if declared is None else class_digest(declared),
            _settings(getattr(agent, "config", None)),
            _settings(getattr(agent, "system_prompt", None)),
            _settings(getattr(agent, "prompt", None)),
            tuple(map(_tool, getattr(agent, "tools", None) or ())),
            # What an agent builds itself may depend on all that it holds.
            _settings(vars(agent)) if shape.kind == "builder" or flavour == "built" else None,
        )
    )


def _settings(value: Any, depth: int = 0) -> Any:
    """Return a configuration as an encodable value.

    Records and plain objects count by the name of their class and their contents, wherever the
    class was defined: unlike in a key that is read back, it need not be found by its name. Every
    tuple that is returned begins with what it stands for, so a record equals no tuple.
    """
    cls = type(value)
    if cls in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise TypeError("the configuration nests too deep, or within itself")
    if cls is dict:
        # Most values are scalars, and a call for each would be most of the time.
        return {
            key: item if type(item) in _SCALARS else _settings(item, depth + 1)
            for key, item in value.items()
        }
    if cls is list:
        return [_settings(item, depth + 1) for item in value]
    if cls is tuple:
        return ("tuple", *(_settings(item, depth + 1) for item in value))
    contents = _contents(value)
    if contents is None:
        return value
    return ("record", cls.__module__, cls.__qualname__, _settings(contents, depth + 1))


def _contents(value: Any) -> dict[str, Any] | None:
    """Return the fields of a record or the attributes of a plain object; None for the rest."""
    cls = type(value)
    names = _field_names.get(cls)
    if names is None:
        names = _field_names[cls] = _read_field_names(cls)
    if names:
        return {name: getattr(value, name) for name in names}
    if _is_plain(cls) and hasattr(value, "__dict__"):
        return {**_class_settings(cls), **vars(value)}
    return None


_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_field_names: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def _read_field_names(cls: type) -> tuple[str, ...]:
    """Return the fields of a dataclass or pydantic model; none for any other class."""
    if hasattr(cls, "__cache_key__"):
        return ()
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return tuple(getattr(cls, "__pydantic_fields__", ()))


def _is_plain(cls: type) -> bool:
    """Whether instances are ordinary objects: attributes, and no meaning of their own."""
    own = vars(cls)
    return cls.__mro__[1:] == (object,) and "__call__" not in own and "__cache_key__" not in own


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
