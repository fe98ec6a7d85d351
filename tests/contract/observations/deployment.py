"""Deploying on apps that remember what was done to them."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

from observations import outcome, refuses
from observations.agents import Agent, Builder, MockNexus, failing_builds


def what_each_function_returns(nexus: ModuleType) -> Any:
    agent, app = Agent(), MockNexus()
    return [
        nexus.deploy_as_api(agent, app, "qa"),
        nexus.deploy_as_cli(agent, app, "qa"),
        nexus.deploy_as_mcp(agent, app, "qa"),
        nexus.deploy_multi_channel(agent, app, "qa"),
        nexus.deploy_with_sessions(agent, app, "qa"),
        app.calls,
    ]


def arguments_by_name(nexus: ModuleType) -> Any:
    agent, app = Agent(), MockNexus()
    given = {"agent": agent, "nexus_app": app}
    return [
        nexus.deploy_as_api(**given, endpoint_name="qa", prefix="/custom/api", use_cache=False),
        nexus.deploy_as_cli(
            **given, command_name="qa", command_prefix="my-cli execute", use_cache=False
        ),
        nexus.deploy_as_mcp(**given, tool_name="qa", tool_description="Q&A", use_cache=False),
        nexus.deploy_multi_channel(**given, name="qa"),
        nexus.deploy_with_sessions(**given, name="qa", session_manager=None),
    ]


def arguments_by_position(nexus: ModuleType) -> Any:
    agent, app = Agent(), MockNexus()
    return [
        nexus.deploy_as_api(agent, app, "qa", "/v2", False),
        nexus.deploy_as_cli(agent, app, "qa", "uvx nexus run", False),
        nexus.deploy_as_mcp(agent, app, "qa", "Q&A", False),
        nexus.deploy_with_sessions(agent, app, "qa", nexus.NexusSessionManager()),
    ]


def any_prefix_is_only_text(nexus: ModuleType) -> Any:
    agent, app = Agent(), MockNexus()
    return [nexus.deploy_as_api(agent, app, "qa", prefix=prefix) for prefix in ("", "api/", "/a/")]


def the_channels_are_a_dictionary_of_ones_own(nexus: ModuleType) -> Any:
    agent, app = Agent(), MockNexus()
    channels = nexus.deploy_multi_channel(agent, app, "qa")
    channels["api"] = "changed"
    channels["extra"] = True
    return [type(channels).__name__, nexus.deploy_multi_channel(agent, app, "qa")]


def what_is_registered(nexus: ModuleType) -> Any:
    app = MockNexus()
    nexus.deploy_as_api(Agent(model="large"), app, "one")
    nexus.deploy_multi_channel(Agent(model="small"), app, "all")
    return app.workflows


def redeploying_replaces(nexus: ModuleType) -> Any:
    app = MockNexus()
    for model in ("small", "large", "small"):
        nexus.deploy_multi_channel(Agent(model=model), app, "qa")
        nexus.deploy_as_api(Agent(model=model), app, "qa")
    return [app.workflows, len(app.calls)]


def what_is_built_again(nexus: ModuleType) -> Any:
    nexus.clear_deployment_cache()
    agent, began, builds = Agent(), Builder.builds, []
    for name, use_cache in (("qa", True), ("qa", True), ("qa", False), ("other", True)):
        nexus.deploy_as_api(agent, MockNexus(), name, use_cache=use_cache)
        builds.append(Builder.builds - began)
    nexus.clear_deployment_cache()
    for temperature in (0.5, 0.9, 0.9):
        nexus.deploy_as_cli(Agent(temperature=temperature), MockNexus(), "qa")
        builds.append(Builder.builds - began)
    return builds


def a_build_that_fails(nexus: ModuleType) -> Any:
    nexus.clear_deployment_cache()
    agent, app = Agent(), MockNexus()
    with failing_builds(LookupError("no such model")):
        failures = [
            outcome(nexus.deploy_as_api, agent, app, "qa"),
            outcome(nexus.deploy_as_cli, agent, app, "qa", use_cache=False),
            outcome(nexus.deploy_multi_channel, agent, app, "qa"),
            outcome(nexus.deploy_with_sessions, agent, app, "qa"),
        ]
    cached = nexus.get_deployment_cache().stats()["size"]
    return [failures, app.workflows, cached, nexus.deploy_as_api(agent, app, "qa")]


def the_error_of_a_build_is_the_agents_own(nexus: ModuleType) -> Any:
    nexus.clear_deployment_cache()
    failure = LookupError("no such model")
    with failing_builds(failure):
        try:
            nexus.deploy_as_mcp(Agent(), MockNexus(), "qa")
        except LookupError as error:
            return error is failure
    return "nothing was raised"


def an_app_that_refuses(nexus: ModuleType) -> Any:
    app = MockNexus()
    app.register = Mock(side_effect=PermissionError("read only"))
    return [
        outcome(nexus.deploy_as_api, Agent(), app, "qa"),
        outcome(nexus.deploy_multi_channel, Agent(), app, "qa"),
        app.workflows,
    ]


def mocks_for_an_app(nexus: ModuleType) -> Any:
    seen = []
    for app in (Mock(), MagicMock()):
        nexus.deploy_as_api(Agent(), app, "one")
        channels = nexus.deploy_multi_channel(Agent(), app, "qa")
        names = [call.args[0] for call in app.register.call_args_list]
        removed = [call.args[0] for call in app.deregister.call_args_list]
        workflow = app.register.call_args.args[1]
        arity = {(len(call.args), len(call.kwargs)) for call in app.register.call_args_list}
        seen.append([channels, names, removed, workflow, app.register.call_count, sorted(arity)])
    return seen


def a_mock_for_an_agent(nexus: ModuleType) -> Any:
    seen = []
    for kind in (Mock, MagicMock):
        agent, app = kind(), MockNexus()
        nexus.deploy_as_api(agent, app, "qa", use_cache=False)
        nexus.deploy_as_mcp(agent, app, "tool", use_cache=False)
        built = agent.to_workflow.return_value.build.return_value
        seen.append([app.workflows["qa"] is built, app.workflows["tool"] is built, app.calls])
    return seen


def where_the_session_manager_goes(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    bare, taken = MockNexus(), MockNexus()
    taken._session_manager = None
    nexus.deploy_with_sessions(Agent(), bare, "qa", manager)
    nexus.deploy_with_sessions(Agent(), taken, "qa", manager)
    fresh = MockNexus()
    nexus.deploy_with_sessions(Agent(), fresh, "qa")
    nexus.deploy_with_sessions(Agent(), bare, "qa", nexus.NexusSessionManager())
    return [
        bare._session_manager is manager,
        taken._session_manager,
        type(fresh._session_manager) is nexus.NexusSessionManager,
        sorted(bare.workflows),
    ]


def what_cannot_be_deployed(nexus: ModuleType) -> Any:
    app, agent = MockNexus(), Agent()
    functions = (
        nexus.deploy_as_api,
        nexus.deploy_as_cli,
        nexus.deploy_as_mcp,
        nexus.deploy_multi_channel,
        nexus.deploy_with_sessions,
    )
    return [
        [
            refuses(deploy, object(), app, "qa"),
            refuses(deploy, None, app, "qa"),
            refuses(deploy, agent, None, "qa"),
            refuses(deploy, agent, SimpleNamespace(), "qa"),
            refuses(deploy, agent, app),
        ]
        for deploy in functions
    ] + [app.workflows]
