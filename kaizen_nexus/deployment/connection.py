"""`NexusConnection` and `NexusDeploymentMixin`: deployment as methods of an agent."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.deployment import functions

__all__ = ["NexusConnection", "NexusDeploymentMixin"]

_DEFAULT_PROMPT = "You are a helpful AI assistant."
_DEFAULT_TEMPERATURE = 0.7


@dataclass
class NexusConnection:
    """An agent's connection to an app: connected from the start until `stop`.

    Parameters
    ----------
    nexus_app
        A `Nexus`, or any app with ``register(name, workflow)``.
    auto_discovery
        Only kept: discovery is a setting of the app.

    Raises
    ------
    ValueError
        `nexus_app` is None.
    """

    nexus_app: Any
    auto_discovery: bool = False

    def __post_init__(self) -> None:
        if self.nexus_app is None:
            raise ValueError("nexus_app is None: pass the app, for example Nexus()")
        self._connected = True
        self._workflows: dict[str, Any] = {}

    def is_connected(self) -> bool:
        """Return True until `stop` is called."""
        return self._connected

    def health_check(self) -> dict[str, Any]:
        """Return the connection's own health, without asking the app.

        Returns
        -------
        dict
            ``status``: ``"healthy"``, or ``"disconnected"`` after `stop`; ``workflows``: how many
            were registered here; ``nexus_version``: the app's, or ``"unknown"``.
        """
        return {
            "status": "healthy" if self._connected else "disconnected",
            "workflows": len(self._workflows),
            "nexus_version": getattr(self.nexus_app, "__version__", "unknown"),
        }

    def register_workflow(self, name: str, workflow: Any) -> str:
        """Register `workflow` with the app and return its name."""
        self.nexus_app.register(name, workflow)
        self._workflows[name] = workflow
        return name

    def list_workflows(self) -> list[str]:
        """Return the names registered through this connection, oldest first, as a new list."""
        return list(self._workflows)

    def start(self, **kwargs: Any) -> Any:
        """Start the app; the arguments and the result are those of its ``start``."""
        return self.nexus_app.start(**kwargs)

    def stop(self) -> Any:
        """Disconnect, and stop the app if it can be; return what its ``stop`` returns."""
        self._connected = False
        stop = getattr(self.nexus_app, "stop", None)
        return None if stop is None else stop()


class NexusDeploymentMixin:
    """Deployment methods for an agent class, of this package or of Kaizen."""

    nexus_connection: NexusConnection | None = None

    def connect_nexus(self, nexus_app: Any) -> None:
        """Connect this agent to an app, as `nexus_connection`.

        Raises
        ------
        TypeError
            `nexus_app` has no ``register(name, workflow)``, or is a class.
        """
        if isinstance(nexus_app, type) or not callable(getattr(nexus_app, "register", None)):
            raise TypeError(f"Expected Nexus instance, got {type(nexus_app)}")
        self.nexus_connection = NexusConnection(nexus_app)

    def to_workflow(self) -> Any:
        """Return a builder of this agent's workflow.

        Returns
        -------
        object
            For an agent of this package, what `BaseAgent.to_workflow` returns. For any other, a
            ``WorkflowBuilder`` of Kailash with one ``LLMAgentNode``, which has the configured
            provider, model and temperature, and a prompt made from the agent's signature.

        Raises
        ------
        ImportError
            The agent needs Kailash, which is not installed.
        """
        if isinstance(self, BaseAgent):
            return BaseAgent.to_workflow(self)
        try:
            kailash = importlib.import_module("kailash.workflow.builder")
        except ImportError as error:
            raise ImportError(
                f"the workflow of {type(self).__qualname__} is built with Kailash. Install it "
                "with: pip install kailash-kaizen"
            ) from error
        config: Any = getattr(self, "config", None)
        if config is None:
            raise TypeError(f"{type(self).__qualname__} has no config to build a workflow from")
        builder = kailash.WorkflowBuilder()
        node = {
            "provider": config.llm_provider or _provider_by_environment(),
            "model": config.model,
            "temperature": getattr(config, "temperature", _DEFAULT_TEMPERATURE),
            "system_prompt": self._build_system_prompt(),
        }
        builder.add_node("LLMAgentNode", "agent_node", node)
        return builder

    def _build_system_prompt(self) -> str:
        """Return the signature's description, and its fields with theirs."""
        signature = getattr(self, "signature", None)
        if not signature:
            return _DEFAULT_PROMPT
        parts = [getattr(signature, "description", None) or _DEFAULT_PROMPT]
        for title, attribute in (("Inputs", "input_fields"), ("Outputs", "output_fields")):
            described = [
                f"- {name}: {field.description}"
                for name, field in getattr(signature, attribute, {}).items()
                if hasattr(field, "description")
            ]
            if described:
                parts.append("\n".join([f"\n{title}:", *described]))
        return "\n".join(parts)

    def deploy_as_api(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as an HTTP endpoint and return its path."""
        return functions.deploy_as_api(self, nexus_app, name)

    def deploy_as_cli(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as a command and return the command line."""
        return functions.deploy_as_cli(self, nexus_app, name)

    def deploy_as_mcp(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as an MCP tool and return its name."""
        return functions.deploy_as_mcp(self, nexus_app, name)

    def deploy_multi_channel(self, nexus_app: Any, name: str) -> dict[str, str]:
        """Deploy this agent on all three channels and return what each answers to."""
        return functions.deploy_multi_channel(self, nexus_app, name)


def _provider_by_environment() -> str | None:
    """Return the provider whose API key is set, as Kaizen does; None lets the node choose."""
    try:
        kaizen = importlib.import_module("kaizen.core._provider_env")
    except ImportError:
        return None
    provider: str | None = kaizen.detect_provider_from_env()
    return provider
