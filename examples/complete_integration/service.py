"""The service: two agents on three channels, and one session space for all of them.

``nexus serve examples/complete_integration/service.py:app`` serves it.
"""

from __future__ import annotations

import kaizen_nexus

kaizen_nexus.install()  # whether or not Kaizen itself is installed

from kaizen.integrations.nexus import Nexus, NexusSessionManager, deploy_multi_channel

try:
    from with_kaizen import make_assistant
except ModuleNotFoundError as missing:
    from without_kaizen import make_assistant

    FRAMEWORK = f"kaizen-nexus ({missing})"
else:
    FRAMEWORK = "Kaizen"

__all__ = ["FRAMEWORK", "app", "channels", "make_assistant", "session_manager"]


def divide(numerator: float, denominator: float) -> float:
    """Divide two numbers: any function can be deployed, and this one can fail."""
    return numerator / denominator


session_manager = NexusSessionManager(cleanup_interval=300, session_ttl=7200)
app = Nexus(auto_discovery=False, session_manager=session_manager)
channels = {
    "assistant": deploy_multi_channel(make_assistant(), app, "assistant"),
    "divide": deploy_multi_channel(divide, app, "divide"),
}
