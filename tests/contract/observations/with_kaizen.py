"""Kaizen's agents, kailash-nexus's apps, and what is stored in DataFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

from observations import outcome, refuses
from observations.agents import MockNexus


@dataclass
class Config:
    llm_provider: str = "mock"
    model: str = "small"
    temperature: float = 0.25


def _agent(nexus: ModuleType, *bases: type, **settings: Any) -> Any:
    from kaizen.core.base_agent import BaseAgent
    from kaizen.signatures import InputField, OutputField, Signature

    class Answer(Signature):
        """Answer a question."""

        question: str = InputField(description="what to answer")
        answer: str = OutputField(description="the answer")

    class Assistant(*(bases or (BaseAgent,))):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(config=Config(**settings), signature=Answer())

    return Assistant()


def _nodes(workflow: Any) -> Any:
    return [[name, node.node_type, node.config] for name, node in workflow.nodes.items()]


def agents_on_a_remembering_app(nexus: ModuleType) -> Any:
    app = MockNexus()
    agent = _agent(nexus)
    returned = [
        nexus.deploy_as_api(agent, app, "api"),
        nexus.deploy_as_cli(agent, app, "cli"),
        nexus.deploy_as_mcp(agent, app, "mcp"),
        nexus.deploy_multi_channel(agent, app, "all"),
        nexus.deploy_with_sessions(agent, app, "sessions"),
    ]
    return [returned, app.calls, {name: _nodes(built) for name, built in app.workflows.items()}]


def equal_agents_share_what_was_built(nexus: ModuleType) -> Any:
    nexus.clear_deployment_cache()
    built = []
    for settings in ({}, {}, {"temperature": 0.5}, {"model": "large"}, {}):
        app = MockNexus()
        nexus.deploy_as_api(_agent(nexus, **settings), app, "qa")
        built.append(app.workflows["qa"])
    return [
        nexus.get_deployment_cache().stats()["size"],
        [[one is other for other in built] for one in built],
    ]


def the_workflow_of_the_mixin(nexus: ModuleType) -> Any:
    from kailash.workflow.builder import WorkflowBuilder
    from kaizen.core.base_agent import BaseAgent

    first = _agent(nexus, nexus.NexusDeploymentMixin, BaseAgent)
    last = _agent(nexus, BaseAgent, nexus.NexusDeploymentMixin)
    app = MockNexus()
    return [
        isinstance(first.to_workflow(), WorkflowBuilder),
        [_nodes(agent.to_workflow().build()) for agent in (first, last)],
        first._build_system_prompt(),
        first.deploy_multi_channel(app, "qa"),
        _nodes(app.workflows["qa_api"]),
    ]


def the_mixin_connects_to_an_app_of_kailash(nexus: ModuleType) -> Any:
    import nexus as kailash_nexus
    from kaizen.core.base_agent import BaseAgent

    app = kailash_nexus.Nexus(auto_discovery=False)
    agent = _agent(nexus, BaseAgent, nexus.NexusDeploymentMixin)
    agent.connect_nexus(app)
    connection = agent.nexus_connection
    return [
        connection.nexus_app is app,
        connection.register_workflow("direct", agent.to_workflow().build()),
        sorted(app._workflows),
        connection.health_check()["status"],
    ]


def agents_on_an_app_of_kailash(nexus: ModuleType) -> Any:
    import nexus as kailash_nexus

    app = kailash_nexus.Nexus(auto_discovery=False)
    agent = _agent(nexus)
    returned = [
        nexus.deploy_as_api(agent, app, "api"),
        nexus.deploy_as_cli(agent, app, "cli"),
        nexus.deploy_as_mcp(agent, app, "mcp"),
        nexus.deploy_multi_channel(agent, app, "all"),
        nexus.deploy_with_sessions(agent, app, "all", nexus.NexusSessionManager()),
        nexus.deploy_multi_channel(_agent(nexus, model="large"), app, "all"),
    ]
    refused = [
        [repr(name), outcome(nexus.deploy_as_api, agent, app, name)]
        for name in ("", "a/b", "a\\b", "a b", "x" * 200)
    ]
    registered = {name: _nodes(built) for name, built in sorted(app._workflows.items())}
    return [returned, refused, registered, app._session_manager, app.deregister("api")]


def what_an_app_of_kailash_does_not_take(nexus: ModuleType) -> Any:
    import nexus as kailash_nexus

    class Runs:
        def run(self, question: str) -> str:
            return question

    app = kailash_nexus.Nexus(auto_discovery=False)
    return [
        refuses(nexus.deploy_as_api, Runs(), app, "qa"),
        refuses(nexus.deploy_multi_channel, Runs(), app, "qa"),
        sorted(app._workflows),
    ]


def the_modules_of_dataflow(nexus: ModuleType) -> Any:
    class Database:
        def model(self, cls: type) -> type:
            self.declared = [cls.__name__, list(cls.__annotations__), vars(cls)["state_json"]]
            return cls

    db = Database()
    models = nexus.models.register_session_models(db)
    return [
        nexus.models.register_session_models is nexus.register_session_models,
        nexus.storage.SessionStorage is nexus.SessionStorage,
        nexus.storage.CrossChannelSession is nexus.CrossChannelSession,
        nexus._DATAFLOW_AVAILABLE,
        [list(models), db.declared],
        outcome(nexus.SessionStorage, object()),
    ]


def records_of_the_storage(nexus: ModuleType) -> Any:
    storage = object.__new__(nexus.SessionStorage)
    storage.runtime = None
    moment = datetime(2031, 5, 6, 7, 8, 9)  # noqa: DTZ001 - naive, as the original's are
    session = nexus.CrossChannelSession(
        "s", "ada", moment, moment, moment, {"a": [1]}, {"api": moment}, "pool"
    )
    record = storage._to_db_record(session)
    restored = storage._from_db_record({**record, "created_at": moment.isoformat()})
    return [record, restored == session, type(restored) is nexus.CrossChannelSession]


def what_the_storage_asks_of_the_database(nexus: ModuleType) -> Any:
    import asyncio

    async def program() -> Any:
        storage = object.__new__(nexus.SessionStorage)
        execute = AsyncMock(return_value=({}, "run"))
        storage.runtime = SimpleNamespace(execute_workflow_async=execute, release=lambda: None)
        session = nexus.CrossChannelSession("s", "ada", state={"a": 1})
        manager = nexus.NexusSessionManager(storage_backend=storage)
        manager.sessions["s"] = session
        loaded = await manager.load_session_async("gone")
        called = execute.call_args.args[0]
        storage.runtime = None
        return [loaded, _nodes(called)]

    return outcome(asyncio.run, program())


def a_state_that_is_no_json(nexus: ModuleType) -> Any:
    storage = object.__new__(nexus.SessionStorage)
    storage.runtime = None
    session = nexus.CrossChannelSession("s", "ada", state={"a": object()})
    return [outcome(storage._to_db_record, session), outcome(json.dumps, {"a": 1})]
