"""A Kaizen agent, with a signature and a configuration of its own, on this package's Nexus.

The agent is Kaizen's in every respect; only what serves it is not. Its signature becomes the
schema of all three channels. The provider ``mock`` answers without a network or a key: name
another one in the configuration, and nothing else changes.

Serve it::

    pip install 'kaizen-nexus[serve]' 'kailash-kaizen[observability]'
    nexus serve examples/kaizen_agent.py:app

and ask it, over HTTP or on the command line::

    curl -s localhost:8000/api/workflows/support/execute -d '{"question": "Where is my parcel?"}'
    nexus run support --question "Where is my parcel?" --tone brief
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import kaizen_nexus

kaizen_nexus.install()

from kaizen.integrations.nexus import Nexus, deploy_multi_channel

try:
    from kaizen.core.autonomy.hooks.types import HookEvent  # noqa: F401 - every run imports it
    from kaizen.core.base_agent import BaseAgent
    from kaizen.signatures import InputField, OutputField, Signature
except ModuleNotFoundError as missing:
    # Without Kaizen, install() provides `kaizen` itself, and `kaizen.core` is what is missing.
    needed = "Kaizen" if str(missing.name).startswith("kaizen") else missing.name
    sys.stderr.write(
        f"Error: this example is a Kaizen agent, and {needed} is not installed; "
        "run: pip install 'kailash-kaizen[observability]'\n"
    )
    raise SystemExit(1) from missing


class SupportSignature(Signature):
    """Answer a customer's question politely."""

    question: str = InputField(description="What the customer wants to know")
    tone: str = InputField(description="How to answer: friendly or brief", default="friendly")
    response: str = OutputField(description="What to tell the customer")


@dataclass
class SupportConfig:
    """What shapes the agent; all of it enters the deployment cache's key."""

    llm_provider: str = "mock"
    model: str = "mock-model"
    temperature: float = 0.2
    max_tokens: int = 500


class SupportAgent(BaseAgent):
    """Answers customers' questions."""

    def __init__(self, config: SupportConfig) -> None:
        # Without this, the first run starts a process for Kaizen's own tools.
        super().__init__(config=config, signature=SupportSignature(), mcp_servers=[])


app = Nexus(auto_discovery=False)
deploy_multi_channel(SupportAgent(SupportConfig()), app, "support")
