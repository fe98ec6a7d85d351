# ruff: noqa: DTZ005, T201 - its naive local times and what it prints are the original's
"""A day of the guide: deploy, keep sessions, measure, cache, clean up."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaizen.core.base_agent import BaseAgent
from kaizen.integrations.nexus import (
    NexusSessionManager,
    PerformanceMetrics,
    PerformanceMonitor,
    clear_deployment_cache,
    deploy_as_api,
    deploy_as_cli,
    deploy_as_mcp,
    deploy_multi_channel,
    deploy_with_sessions,
    get_deployment_cache,
)
from kaizen.signatures import InputField, OutputField, Signature
from nexus import Nexus


class Question(Signature):
    """Answer the question."""

    question: str = InputField(description="what is asked")
    answer: str = OutputField(description="what is answered")


@dataclass
class AssistantConfig:
    llm_provider: str = "mock"
    model: str = "gpt-3.5-turbo"
    temperature: float = 0.3


class Assistant(BaseAgent):
    def __init__(self, config: AssistantConfig) -> None:
        super().__init__(config=config, signature=Question())


app, agent = Nexus(auto_discovery=False), Assistant(AssistantConfig())
metrics, manager = PerformanceMetrics(), NexusSessionManager(cleanup_interval=300)
for _ in range(2):
    with PerformanceMonitor(metrics, "deployment"):
        print(deploy_multi_channel(agent, app, "assistant"))
print(deploy_as_api(agent, app, "api_only", use_cache=False), len(metrics.deployment_times))
print(deploy_as_cli(agent, app, "cli_only"), "|", deploy_as_mcp(agent, app, "mcp_only"))
print(deploy_with_sessions(agent, app, "chat", manager))

session, update = manager.create_session(user_id="user-123"), manager.update_session_state
with ThreadPoolExecutor(max_workers=20) as executor:
    updates = [{f"key_{i}": i} for i in range(20)]
    futures = [executor.submit(update, session.session_id, each, "api") for each in updates]
print(all(future.result() for future in futures), len(session.state))
print(manager.get_session_state(session.session_id, channel="cli")["key_7"])
print(sorted(session.channel_activity), manager.bind_memory_pool(session.session_id, "pool"))
stale = manager.create_session(user_id="user-456", ttl_hours=2)
stale.expires_at = datetime.now() - timedelta(seconds=1)
figures = manager.get_session_metrics()
print(figures["active_sessions"], figures["total_sessions"], manager.cleanup_expired_sessions())

requests = PerformanceMetrics()
for seconds in (0.2712, 0.2891, 0.3053):
    requests.record_api_latency(seconds)
print(f"{requests.get_summary()['api']['mean']:.4f}", metrics.get_summary()["deployment"]["count"])
requests.print_summary()
clear_deployment_cache()
print(get_deployment_cache().stats()["size"], agent.to_workflow().build() is not None)
