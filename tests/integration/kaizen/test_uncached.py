"""What cannot be described is not cached, and the statistics say so."""

from __future__ import annotations

from typing import Any

from kaizen_nexus import Nexus, deploy_multi_channel, get_deployment_cache


def test_an_agent_that_cannot_be_described_is_counted_and_told(
    real: Any, app: Nexus, http: Any
) -> None:
    agent = real.make(provider_config={"callback": lambda: None})
    before = http.get("/metrics.json").json()["deployment_cache"]["undescribed"]
    for _ in range(2):
        deploy_multi_channel(agent, app, "support")
    assert http.get("/metrics.json").json()["deployment_cache"]["undescribed"] == before + 2
    assert get_deployment_cache().stats()["size"] == 0
    reason = http.get("/api/cache").json()["uncached"]["support"]
    assert "['provider_config']['callback']" in reason
    assert "cannot encode" in reason
