"""The deployment cache's key: a digest of everything that shapes a workflow.

The same agent, built again in another process with another hash seed, has the same fingerprint;
any difference in name, class, signature, types, configuration, prompt or tools gives another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaizen_nexus._accel import cache_key
from kaizen_nexus.agents.adapters import AgentShape
from kaizen_nexus.agents.base import BaseAgent, declared_signature
from kaizen_nexus.agents.kaizen import declared_entry
from kaizen_nexus.agents.signature import CallSignature, read_signature
from kaizen_nexus.agents.structure import class_digest, signature_digest
from kaizen_nexus.deployment.kaizen_parts import kaizen_parts, tool_parts
from kaizen_nexus.deployment.key_fields import KeyField, call_parts, class_parts, key_fields
from kaizen_nexus.deployment.settings import settings

if TYPE_CHECKING:
    from kaizen_nexus.agents.kailash import KailashTarget

__all__ = ["BUILT", "PLAN", "Fingerprint", "fingerprint"]

PLAN, BUILT = "plan", "built"
"""What is cached: a plan of ours, or what an agent built for an app of another kind."""


class Fingerprint(str):
    """A cache key together with what it was computed from.

    It equals the plain string, which is what to keep: a fingerprint refers to the values of a
    configuration, and so perhaps to secrets.
    """

    __slots__ = ("_call", "_declared", "_parts")
    _parts: dict[str, Any]
    _call: CallSignature | None
    _declared: type | None

    @classmethod
    def of(
        cls,
        parts: dict[str, Any],
        call: CallSignature | None = None,
        declared: type | None = None,
    ) -> Fingerprint:
        """Return the fingerprint of `parts`.

        Parameters
        ----------
        parts
            Everything that the key covers, by name.
        call
            The signature whose digest is ``parts["call"]`` or, without that, ``["signature"]``.
        declared
            The class whose digest is ``parts["declared"]``.

        Raises
        ------
        TypeError
            A part has no canonical encoding.
        """
        made = cls(cache_key(parts))
        made._parts, made._call, made._declared = parts, call, declared
        return made

    @property
    def name(self) -> str:
        """The name that the agent is deployed under."""
        return str(self._parts["name"])

    @property
    def kind(self) -> str:
        """What is cached: `PLAN` or `BUILT`."""
        return str(self._parts["kind"])

    def fields(self) -> tuple[KeyField, ...]:
        """Return each field that the key covers, without secrets: they can be kept and shown."""
        parts = dict(self._parts)
        if self._call is not None:
            parts["call" if "call" in parts else "signature"] = call_parts(self._call)
        if self._declared is not None:
            parts["declared"] = class_parts(self._declared)
        return key_fields(parts)


def fingerprint(agent: object, name: str, shape: AgentShape, flavour: str) -> Fingerprint:
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
        What is built: `PLAN` for our apps, `BUILT` for others.

    Raises
    ------
    TypeError
        Something that shapes the workflow has no canonical encoding. Such an agent is built anew at
        each deployment: it could be confused with another one in the cache.
    """
    cls = type(agent)
    parts: dict[str, Any] = {
        "kind": flavour,
        "name": name,
        "shape": shape.kind,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "doc": None if shape.kind == "function" else cls.__doc__,
    }
    if shape.kind == "kailash":
        target: KailashTarget = shape.target  # type: ignore[assignment]  # what this kind has
        parts["description"] = str(getattr(target.graph, "description", ""))
        return Fingerprint.of(parts)
    entry = shape.target
    if shape.kind == "kaizen" and entry is not None:
        entry = declared_entry(entry)
    call = None if entry is None else read_signature(entry)
    digest = None if call is None else signature_digest(call)
    if shape.kind == "kaizen":
        parts["call"] = digest
        parts.update(kaizen_parts(agent, entry, builds=flavour == BUILT))
        return Fingerprint.of(parts, call)
    declared = declared_signature(agent) if isinstance(agent, BaseAgent) else None
    parts.update(
        signature=digest,
        declared=None if declared is None else class_digest(declared),
        config=settings(getattr(agent, "config", None)),
        system_prompt=settings(getattr(agent, "system_prompt", None)),
        prompt=settings(getattr(agent, "prompt", None)),
        tools=tool_parts(agent),
        # What an agent builds itself may depend on all that it holds.
        attributes=settings(vars(agent)) if shape.kind == "builder" or flavour == BUILT else None,
    )
    return Fingerprint.of(parts, call, declared)
