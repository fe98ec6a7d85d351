"""The signature of a Kaizen agent is the schema, on every channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from kaizen_nexus import Nexus, deploy_multi_channel, deploy_with_sessions
from kaizen_nexus.console.main import main


def ask(http: httpx2.Client, name: str, inputs: dict[str, Any], **headers: str) -> Any:
    return http.post(f"/api/workflows/{name}/execute", json=inputs, headers=headers)


def nexus(app: Nexus, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the program in this process, and return exit code, standard output and error."""
    code = main([*arguments, "--url", app.url])
    return (code, *capsys.readouterr())


def test_http_describes_inputs_and_outputs(real: Any, app: Nexus, http: httpx2.Client) -> None:
    deploy_multi_channel(real.make(), app, "support")
    description = http.get("/api/workflows/support").json()
    assert description["description"] == "Answer a customer's question."
    inputs, outputs = description["input_schema"], description["output_schema"]
    assert inputs["properties"] == {
        "question": {"type": "string", "description": "What the customer wants to know"},
        "depth": {"type": "integer", "description": "How thorough to be", "default": 3},
        "topics": {
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
            "description": "What to stay with",
        },
    }
    assert inputs["required"] == ["question"]
    assert inputs["additionalProperties"] is False
    assert outputs["properties"]["confidence"] == {
        "type": "number",
        "description": "How sure that is, from 0 to 1",
    }
    assert outputs["anyOf"][:2] == [{"required": ["answer", "confidence"]}, {"required": ["error"]}]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("use_async_llm", [False, True])
def test_http_runs_the_agent_with_its_defaults(
    real: Any, app: Nexus, http: httpx2.Client, use_async_llm: bool
) -> None:
    agent = real.make(use_async_llm=use_async_llm)
    deploy_multi_channel(agent, app, "support")
    assert app.runtime.registry.find("support", "api").workflow.is_async is use_async_llm
    reply = ask(http, "support", {"question": "Why?"})
    assert reply.json()["result"] == {"answer": "Why? 3 0", "confidence": 1.0}


@pytest.mark.parametrize(
    ("inputs", "pointer"),
    [
        ({}, "#/question"),
        ({"question": 7}, "#/question"),
        ({"question": "Why?", "depth": "3"}, "#/depth"),
        ({"question": "Why?", "topics": [1]}, "#/topics/0"),
        ({"question": "Why?", "nonsense": 1}, "#/nonsense"),
    ],
)
def test_http_refuses_what_the_signature_does_not_declare(
    real: Any, app: Nexus, http: httpx2.Client, inputs: dict[str, Any], pointer: str
) -> None:
    deploy_multi_channel(real.make(), app, "support")
    reply = ask(http, "support", inputs)
    assert reply.status_code == 422
    assert [error["pointer"] for error in reply.json()["errors"]] == [pointer]


@pytest.mark.usefixtures("runs")
def test_a_failure_reads_as_the_agent_itself_reports_it(
    real: Any, app: Nexus, http: httpx2.Client
) -> None:
    agent = real.make()
    expected = agent.run(question="fail", depth=3)
    assert expected["success"] is False
    deploy_multi_channel(agent, app, "support")
    reply = ask(http, "support", {"question": "fail"})
    assert (reply.status_code, reply.json()["result"]) == (200, expected)


@pytest.mark.usefixtures("runs")
def test_the_command_line_shows_the_inputs_and_takes_them(
    real: Any, app: Nexus, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_multi_channel(real.make(), app, "support")
    code, out, _ = nexus(app, capsys, "run", "support", "--help")
    assert code == 0
    for text in ("Answer a customer's question.", "--question TEXT", "[default: 3]", "--topics"):
        assert text in out
    assert "What the customer wants to know" in out
    code, out, _ = nexus(app, capsys, "run", "support", "--question", "Why?", "--depth", "1")
    assert (code, json.loads(out)) == (0, {"answer": "Why? 1 0", "confidence": 1.0})
    code, _, err = nexus(app, capsys, "run", "support")
    assert (code, "Missing option --question" in err) == (2, True)


def test_a_tool_list_would_show_the_same(real: Any, app: Nexus) -> None:
    deploy_multi_channel(real.make(), app, "support")
    on_mcp = app.runtime.registry.find("support", "mcp").workflow
    assert on_mcp.plan is app.runtime.registry.find("support", "api").workflow.plan
    assert on_mcp.description == "Answer a customer's question."


def test_an_unsupported_type_fails_at_deploy_and_names_the_field(real: Any, app: Nexus) -> None:
    class Picture(real.signature_base):  # type: ignore[misc]
        """Describe a picture."""

        prompt: str = real.input(desc="What to look for")
        picture: complex = real.input(desc="The picture")
        answer: str = real.output(desc="What is on it")

    class Feeling(real.signature_base):  # type: ignore[misc]
        """Feel."""

        prompt: str = real.input(desc="What to feel")
        feeling: Callable[[], None] = real.output(desc="The feeling")

    for signature, field in ((Picture(), "picture"), (Feeling(), "feeling")):
        with pytest.raises(TypeError, match=rf"{type(signature).__name__}.*'{field}'.*Annotate"):
            deploy_multi_channel(real.make(signature=signature), app, "picture")
    assert app.runtime.registry.names() == []


@pytest.mark.usefixtures("runs")
def test_a_session_is_the_agents_conversation(real: Any, app: Nexus, http: httpx2.Client) -> None:
    from kaizen.memory import BufferMemory

    memory = BufferMemory()
    deploy_with_sessions(real.make(memory=memory), app, "support")
    first = ask(http, "support", {"question": "One?"}).json()
    session = first["session_id"]
    second = ask(http, "support", {"question": "Two?"}, **{"X-Session-ID": session}).json()
    other = ask(http, "support", {"question": "Three?"}).json()
    answers = [reply["result"]["answer"] for reply in (first, second, other)]
    assert answers == ["One? 3 0", "Two? 3 1", "Three? 3 0"]
    assert [turn["user"] for turn in memory.load_context(session)["turns"]] == ["One?", "Two?"]


@pytest.mark.usefixtures("runs")
def test_an_agents_own_run_decides_what_it_takes(
    real: Any, app: Nexus, http: httpx2.Client
) -> None:
    class Brief(real.agent_class):  # type: ignore[misc]
        """Answers in brief."""

        def run(self, question: str, loud: bool = False) -> Any:
            return {"answer": question.upper() if loud else question, "by": type(self).__name__}

    agent = Brief(config=real.config_class(), signature=real.signature(), mcp_servers=[])
    deploy_multi_channel(agent, app, "brief")
    schema = http.get("/api/workflows/brief").json()["input_schema"]
    assert list(schema["properties"]) == ["question", "loud"]
    assert schema["properties"]["question"]["description"] == "What the customer wants to know"
    reply = ask(http, "brief", {"question": "why", "loud": True})
    assert reply.json()["result"] == {"answer": "WHY", "by": "Brief"}


def test_a_signature_made_of_names_is_a_schema_too(real: Any, app: Nexus) -> None:
    signature = real.signature_base(
        inputs=["question", "picture"],
        outputs=["answer", ["score", "reason"]],
        description="Look.",
        input_types={"question": "text", "picture": "image"},
    )
    deploy_multi_channel(real.make(signature=signature), app, "look")
    workflow = app.runtime.registry.find("look", "api").workflow
    assert workflow.input_schema["properties"] == {"question": {"type": "string"}, "picture": {}}
    assert list(workflow.output_schema["properties"]) == ["answer", "score", "reason"]


def test_a_kailash_workflow_runs_under_kailashs_runtime(
    real: Any, app: Nexus, http: httpx2.Client
) -> None:
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "add", {"code": "result = {'sum': a + parameters['b']}"})
    for name, workflow in (("built", builder.build()), ("builder", builder)):
        deploy_multi_channel(workflow, app, name)
        reply = ask(http, name, {"a": 1, "b": 2})
        assert reply.json()["result"] == {"add": {"result": {"sum": 3}}}
        reply = ask(http, name, {"a": 1, "b": "x"})
        assert (reply.status_code, reply.json()["title"]) == (500, "Agent failed")


def test_an_agent_without_a_run_of_its_own_is_its_workflow(
    real: Any, app: Nexus, http: httpx2.Client
) -> None:
    class Described:
        """Has a signature and a workflow, and nothing to run."""

        signature = real.signature()

        def to_workflow(self) -> Any:
            from kailash.workflow.builder import WorkflowBuilder

            builder = WorkflowBuilder()
            code = "result = {'answer': question * depth}"
            builder.add_node("PythonCodeNode", "answer", {"code": code})
            return builder

    deploy_multi_channel(Described(), app, "described")
    reply = ask(http, "described", {"question": "ab", "depth": 2})
    assert reply.json()["result"] == {"answer": {"result": {"answer": "abab"}}}
    assert ask(http, "described", {"depth": 2}).status_code == 422
