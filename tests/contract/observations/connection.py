"""Connections, the mixin and the parameter mapper."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

from observations import outcome
from observations.agents import Agent, MockNexus


def the_life_of_a_connection(nexus: ModuleType) -> Any:
    app = MockNexus()
    connection = nexus.NexusConnection(nexus_app=app)
    began = [connection.is_connected(), connection.health_check(), connection.list_workflows()]
    workflow = object()
    return [
        began,
        connection.register_workflow("one", workflow),
        connection.register_workflow(name="two", workflow=workflow),
        [connection.list_workflows(), app.workflows["one"] is workflow],
        [connection._workflows["one"] is workflow, sorted(connection._workflows)],
        connection.health_check(),
        connection.start(blocking=False),
        connection.stop(),
        [connection.is_connected(), connection.health_check()],
        connection.start(),
        connection.is_connected(),
        [connection.nexus_app is app, connection.auto_discovery],
    ]


def registering_a_name_again(nexus: ModuleType) -> Any:
    app = Mock()
    connection = nexus.NexusConnection(app, True)
    connection.register_workflow("one", 1)
    connection.register_workflow("one", 2)
    return [connection.list_workflows(), connection._workflows, connection.auto_discovery]


def a_registration_that_fails(nexus: ModuleType) -> Any:
    app = MockNexus()
    connection = nexus.NexusConnection(app)
    connection.register_workflow("one", 1)
    return [outcome(connection.register_workflow, "one", 2), connection._workflows]


def connections_do_not_share(nexus: ModuleType) -> Any:
    app = MockNexus()
    first, second = nexus.NexusConnection(app), nexus.NexusConnection(app)
    equal = first == second
    first.register_workflow("one", 1)
    listed = first.list_workflows()
    listed.append("mine")
    return [
        equal,
        first.list_workflows(),
        second.list_workflows(),
        first != nexus.NexusConnection(app, auto_discovery=True),
    ]


def an_app_without_a_life(nexus: ModuleType) -> Any:
    connection = nexus.NexusConnection(SimpleNamespace())
    return [
        connection.is_connected(),
        connection.health_check(),
        connection.stop(),
        connection.is_connected(),
        outcome(connection.start),
        outcome(connection.register_workflow, "one", 1),
        connection.list_workflows(),
    ]


def _agent_class(nexus: ModuleType) -> type:
    class Connected(nexus.NexusDeploymentMixin, Agent):  # type: ignore[misc, name-defined]
        to_workflow = Agent.to_workflow

    return Connected


def what_the_mixin_connects_to(nexus: ModuleType) -> Any:
    seen = []
    for app in (MockNexus(), Mock(), MagicMock()):
        agent = _agent_class(nexus)()
        before = agent.nexus_connection
        returned = agent.connect_nexus(app)
        connection = agent.nexus_connection
        seen.append([before, returned, connection.nexus_app is app, connection.is_connected()])
    return [seen, _agent_class(nexus).nexus_connection, type(connection) is nexus.NexusConnection]


def what_the_mixin_refuses(nexus: ModuleType) -> Any:
    refused = ["no app", 5, None, object(), MockNexus]
    agent = _agent_class(nexus)()

    def error_of(app: Any) -> str:
        try:
            agent.connect_nexus(app)
        except TypeError as error:
            return str(error)
        return "nothing was raised"

    errors = [error_of(app).startswith("Expected Nexus instance, got <class") for app in refused]
    return [errors, agent.nexus_connection]


def deploying_by_the_mixin(nexus: ModuleType) -> Any:
    agent, app = _agent_class(nexus)(), MockNexus()
    return [
        agent.deploy_as_api(app, "qa"),
        agent.deploy_as_cli(nexus_app=app, name="qa"),
        agent.deploy_as_mcp(app, "qa"),
        agent.deploy_multi_channel(app, "qa"),
        sorted(app.workflows),
        agent.nexus_connection,
    ]


def the_prompt_of_the_mixin(nexus: ModuleType) -> Any:
    class Prompted(nexus.NexusDeploymentMixin):  # type: ignore[misc, name-defined]
        def __init__(self, signature: Any) -> None:
            self.signature = signature

    field = SimpleNamespace(description="what to answer")
    return [
        Prompted(signature)._build_system_prompt()
        for signature in (
            None,
            SimpleNamespace(),
            SimpleNamespace(description="Answer."),
            SimpleNamespace(description="", input_fields={"q": field}),
            SimpleNamespace(
                description="Answer.",
                input_fields={"q": field, "bare": object()},
                output_fields={"a": field, "b": field},
            ),
            SimpleNamespace(input_fields={}, output_fields={"bare": object()}),
        )
    ]


def mapping_parameters(nexus: ModuleType) -> Any:
    mapper = nexus.ParameterMapper
    data = {"question": "Why?", "limit": "3"}
    result = {"answer": "So.", "sources": [1, None]}
    response = mapper.to_api_response(result)
    return [
        [
            convert(data) is data
            for convert in (
                mapper.from_api_request,
                mapper.from_cli_args,
                mapper.from_mcp_tool_call,
            )
        ],
        [response, response["result"] is result],
        mapper.to_cli_output(result),
        mapper.to_mcp_result(result),
        mapper().to_cli_output(agent_result=result),
        [mapper.from_api_request(request_data=data), mapper.from_cli_args(cli_args=data)],
        mapper.from_mcp_tool_call(tool_args=data),
        outcome(mapper.to_cli_output, {"what": object()}),
    ]
