from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock, call

import pytest

from kaizen_nexus import (
    Nexus,
    clear_deployment_cache,
    deploy_as_api,
    deploy_as_cli,
    deploy_as_mcp,
    deploy_multi_channel,
    deploy_with_sessions,
    get_deployment_cache,
)
from kaizen_nexus.agents.workflow import Workflow


class Built:
    """An agent of another library: it builds its own workflow, and can be run as well."""

    def __init__(self, stops: list[str]) -> None:
        self.stops = stops

    def run(self, query: str) -> str:
        return query

    def to_workflow(self) -> Built:
        return self

    def build(self) -> tuple[str, ...]:
        return ("workflow", *self.stops)


class OtherApp:
    """An app of another library: it takes registrations, and refuses a name that it has."""

    def __init__(self) -> None:
        self.registered: dict[str, Any] = {}

    def register(self, name: str, workflow: object) -> None:
        if name in self.registered:
            raise ValueError(f"{name} is registered")
        self.registered[name] = workflow

    def deregister(self, name: str) -> None:
        self.registered.pop(name, None)


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    clear_deployment_cache()


def test_an_app_of_another_kind_gets_one_entry_for_each_channel() -> None:
    app = OtherApp()
    assert deploy_as_api(Built([]), app, "one") == "/api/workflows/one/execute"
    assert deploy_as_cli(Built([]), app, "two") == "nexus run two"
    assert deploy_as_mcp(Built([]), app, "three", "What it does") == "three"
    assert deploy_multi_channel(Built([]), app, "all") == {
        "api": "/api/workflows/all/execute",
        "cli": "nexus run all",
        "mcp": "all",
    }
    assert set(app.registered) == {"one", "two", "three", "all_api", "all_cli", "all_mcp"}
    assert set(app.registered.values()) == {("workflow",)}


def test_an_app_of_another_kind_gets_the_agent_s_own_workflow_and_no_other_s() -> None:
    app = OtherApp()
    before = get_deployment_cache().stats()["builds"]
    for stops in (["a"], ["b"], ["a"]):
        deploy_as_api(Built(stops), app, "it")
        assert app.registered["it"] == ("workflow", *stops)
    assert get_deployment_cache().stats()["builds"] == before + 2


def test_an_agent_without_a_workflow_of_its_own_gives_ours() -> None:
    app = OtherApp()
    deploy_as_api(lambda query: query, app, "it")
    workflow = app.registered["it"]
    assert isinstance(workflow, Workflow)
    assert workflow(query="x") == "x"


def test_a_mock_app_sees_the_calls() -> None:
    app = MagicMock()
    deploy_with_sessions(Built([]), app, "it")
    assert app.mock_calls == [
        method(f"it_{channel}", *arguments)
        for channel in ("api", "cli", "mcp")
        for method, arguments in ((call.deregister, ()), (call.register, (("workflow",),)))
    ]


def test_the_cache_can_be_left_out() -> None:
    app = OtherApp()
    before = get_deployment_cache().stats()
    for _ in range(2):
        deploy_multi_channel(Built([]), app, "it", use_cache=False)
    assert get_deployment_cache().stats() == before


def test_a_build_that_fails_registers_and_caches_nothing() -> None:
    class Failing(Built):
        def build(self) -> tuple[str, ...]:
            raise ZeroDivisionError("no")

    app = OtherApp()
    with pytest.raises(ZeroDivisionError, match="no"):
        deploy_multi_channel(Failing([]), app, "it")
    assert app.registered == {}
    assert get_deployment_cache().stats()["size"] == 0


@pytest.mark.parametrize(
    ("deploy", "arguments", "error", "message"),
    [
        (deploy_as_api, {"prefix": "no-slash"}, ValueError, "prefix"),
        (deploy_as_api, {"prefix": "/trailing/"}, ValueError, "prefix"),
        (deploy_as_api, {"prefix": "/../up"}, ValueError, "prefix"),
        (deploy_as_cli, {"command_prefix": " "}, ValueError, "command_prefix"),
        (deploy_as_mcp, {"tool_description": 7}, TypeError, "tool_description"),
    ],
)
def test_bad_arguments_raise_and_register_nothing(
    deploy: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    app = Nexus()
    with pytest.raises(error, match=message):
        deploy(Built([]), app, "it", **arguments)
    assert app.runtime.registry.names() == []
