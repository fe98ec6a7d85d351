"""Bad arguments raise at once, with the remedy, and leave nothing registered or cached."""

from __future__ import annotations

import pytest

import kaizen_nexus
from kaizen_nexus import Nexus, NexusSessionManager

DEPLOY = [
    kaizen_nexus.deploy_as_api,
    kaizen_nexus.deploy_as_cli,
    kaizen_nexus.deploy_as_mcp,
    kaizen_nexus.deploy_multi_channel,
    kaizen_nexus.deploy_with_sessions,
]


class OtherApp:
    """An app of another kind."""

    def __init__(self):
        self.workflows = {}

    def register(self, name, workflow):
        self.workflows[name] = workflow


class Builder:
    """An agent whose workflow is built, or fails to be."""

    def __init__(self, error=None):
        self.error = error

    def to_workflow(self):
        return self

    def build(self):
        if self.error is not None:
            raise self.error
        return agent


@pytest.fixture(params=[Nexus, OtherApp], ids=["our app", "another app"])
def app(request):
    app = request.param()
    yield app
    if isinstance(app, Nexus):
        app.close()


@pytest.fixture(autouse=True)
def _empty_cache():
    kaizen_nexus.clear_deployment_cache()


@pytest.fixture(params=DEPLOY, ids=lambda deploy: deploy.__name__)
def deploy(request):
    return request.param


def nothing_is_left(app):
    registered = app.runtime.registry.names() if isinstance(app, Nexus) else app.workflows
    return not registered and kaizen_nexus.get_deployment_cache().stats()["size"] == 0


def agent(question: str) -> str:
    return question


@pytest.mark.parametrize("name", ["", ".", "..", "../etc", "/etc", "a/b", "a\\b", "a b"])
def test_names_that_could_lead_elsewhere(deploy, app, name):
    with pytest.raises(ValueError, match="name"):
        deploy(agent, app, name)
    assert nothing_is_left(app)


@pytest.mark.parametrize("name", [None, 5, b"qa"])
def test_names_that_are_no_strings(deploy, app, name):
    with pytest.raises(TypeError, match="name must be a str"):
        deploy(agent, app, name)
    assert nothing_is_left(app)


def test_no_agent(deploy, app):
    with pytest.raises(ValueError, match="agent is None: pass the agent to deploy"):
        deploy(None, app, "qa")
    assert nothing_is_left(app)


@pytest.mark.parametrize("nothing", [object(), 5, "agent"])
def test_an_agent_that_cannot_be_deployed(deploy, app, nothing):
    with pytest.raises(TypeError, match=r"none of run\(\), process\(\), to_workflow\(\)"):
        deploy(nothing, app, "qa")
    assert nothing_is_left(app)


def test_no_app(deploy):
    with pytest.raises(ValueError, match=r"nexus_app is None: pass the app, for example Nexus\(\)"):
        deploy(agent, None, "qa")


def test_an_app_that_cannot_register(deploy):
    with pytest.raises(TypeError, match=r"object cannot take a deployment: it has no register"):
        deploy(agent, object(), "qa")


def test_a_build_that_fails(deploy, app):
    error = LookupError("no such model")
    with pytest.raises(LookupError) as caught:
        deploy(Builder(error), app, "qa")
    assert caught.value is error
    assert nothing_is_left(app)


def test_a_build_that_fails_keeps_the_former_deployment(app):
    kaizen_nexus.deploy_as_api(Builder(), app, "qa")
    with pytest.raises(LookupError):
        kaizen_nexus.deploy_as_api(Builder(LookupError("no such model")), app, "qa")
    if isinstance(app, Nexus):
        assert list(app.runtime.registry.names()) == ["qa"]
    else:
        assert list(app.workflows) == ["qa"]


@pytest.mark.parametrize("prefix", ["", "api", "/api/", "/a b", "/../etc", 5])
def test_prefixes_that_our_app_cannot_serve(prefix):
    app = Nexus()
    for deploy in (kaizen_nexus.deploy_as_api, kaizen_nexus.deploy_multi_channel):
        with pytest.raises(ValueError, match="is not a path like '/api/workflows'"):
            deploy(agent, app, "qa", prefix=prefix)
    assert nothing_is_left(app)
    app.close()


def test_options_of_all_channels(app):
    with pytest.raises(ValueError, match="command_prefix is empty"):
        kaizen_nexus.deploy_multi_channel(agent, app, "qa", command_prefix=" ")
    with pytest.raises(TypeError, match="tool_description must be a str, not int"):
        kaizen_nexus.deploy_multi_channel(agent, app, "qa", tool_description=5)
    with pytest.raises(TypeError, match="use_cahce"):
        kaizen_nexus.deploy_multi_channel(agent, app, "qa", use_cahce=False)
    assert nothing_is_left(app)
    channels = kaizen_nexus.deploy_multi_channel(
        agent, app, "qa", False, prefix="/v2", command_prefix="uvx nexus run", tool_description="!"
    )
    assert channels == {"api": "/v2/qa/execute", "cli": "uvx nexus run qa", "mcp": "qa"}


def test_our_app_uses_the_session_manager_and_another_only_keeps_it(app):
    manager = NexusSessionManager()
    kaizen_nexus.deploy_with_sessions(agent, app, "chat", manager)
    kept = app.session_manager if isinstance(app, Nexus) else app._session_manager
    assert kept is manager
    if isinstance(app, Nexus):
        with pytest.raises(ValueError, match="already keeps its sessions in another manager"):
            kaizen_nexus.deploy_with_sessions(agent, app, "chat", NexusSessionManager())
    else:
        kaizen_nexus.deploy_with_sessions(agent, app, "chat", NexusSessionManager())
        assert app._session_manager is manager


def test_a_connection_needs_an_app():
    with pytest.raises(ValueError, match="nexus_app is None"):
        kaizen_nexus.NexusConnection(None)


def test_the_mixin_connects_to_our_app():
    class Agent(kaizen_nexus.NexusDeploymentMixin, kaizen_nexus.BaseAgent):
        def run(self, question: str) -> str:
            return question

    app, agent = Nexus(), Agent()
    agent.connect_nexus(app)
    assert agent.nexus_connection.nexus_app is app
    assert agent.to_workflow().build()(question="Why?") == "Why?"
    assert agent.deploy_multi_channel(app, "qa")["cli"] == "nexus run qa"
    assert agent.nexus_connection.register_workflow("direct", agent) == "direct"
    assert sorted(app.runtime.registry.names()) == ["direct", "qa"]
    app.close()


def test_the_mixin_without_kailash_says_what_to_install(run):
    output = run(
        """
        from kaizen_nexus import NexusDeploymentMixin
        class Agent(NexusDeploymentMixin):
            config = object()
        try:
            Agent().to_workflow()
        except ImportError as error:
            print(error)
        """,
        hide=True,
    )
    assert output == (
        "the workflow of Agent is built with Kailash. Install it with: pip install kailash-kaizen\n"
    )
