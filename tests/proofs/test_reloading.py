"""``nexus serve --reload``: code is exchanged under a server that goes on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
import gc
from types import ModuleType

import texts
from kaizen_nexus import Nexus, deploy_multi_channel


def greet(whom: texts.Person, session=None) -> str:
    turn = session.get_state().get("turn", 0) + 1
    session.update_state({"turn": turn})
    assert isinstance(whom, texts.Person)
    return f"{texts.GREETING} {whom.name}, {turn}"


def loaded() -> list[int]:
    gc.collect()
    modules = [m.__name__ for m in gc.get_objects() if type(m) is ModuleType]
    return [modules.count("service"), modules.count("texts")]


def deployed() -> list[str]:
    return app.runtime.registry.names()


app = Nexus()
for agent in (greet, loaded, deployed):
    deploy_multi_channel(agent, app, agent.__name__)
"""
TEXTS = """\
from dataclasses import dataclass

GREETING = "Hello"


@dataclass
class Person:
    name: str
"""


class Conversation:
    """One connection, which is never opened again, and one session."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self._connection.connect()
        self._socket = self._connection.sock
        self._session = "new"

    def ask(self, name: str, **inputs: Any) -> Any:
        path, headers = f"/api/workflows/{name}/execute", {"X-Session-ID": self._session}
        self._connection.request("POST", path, json.dumps(inputs), headers)
        answer = self._connection.getresponse()
        body = json.loads(answer.read())
        assert self._connection.sock is self._socket
        self._session = body.get("session_id", self._session)
        return body["result"] if answer.status == 200 else answer.status

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_new_code_answers_over_the_old_connection_in_the_old_session(
    serve: Callable[..., Server],
    tmp_path: Any,
) -> None:
    texts = tmp_path / "texts.py"
    texts.write_text(TEXTS)
    server = serve(SERVICE, "--reload")
    me = {"name": "Ada"}
    with Conversation(server) as conversation:
        assert conversation.ask("greet", whom=me) == "Hello Ada, 1"

        # Of the same size, perhaps in the same second.
        texts.write_text(TEXTS.replace("Hello", "Salut"))
        server.wait_for("Reloaded. Workflows: greet, loaded, deployed\n")
        assert conversation.ask("greet", whom=me) == "Salut Ada, 2"
        assert conversation.ask("loaded") == [1, 1]

        texts.write_text("GREETING = ")
        server.wait_for("Not reloaded. The former code still answers.\n")
        server.wait_for("SyntaxError")
        assert conversation.ask("greet", whom=me) == "Salut Ada, 3"

        texts.write_text(TEXTS.replace("Hello", "Good morning"))
        server.wait_for("Reloaded.", times=2)
        assert conversation.ask("greet", whom=me) == "Good morning Ada, 4"

        server.file.write_text(SERVICE.replace("greet, loaded, deployed", "greet, deployed"))
        server.wait_for("Reloaded. Workflows: greet, deployed\n")
        assert conversation.ask("loaded") == 404
        assert conversation.ask("deployed") == ["greet", "deployed"]

    assert server.stop() == 0


def test_while_new_code_does_not_come_to_its_end_the_former_answers(
    serve: Callable[..., Server],
    tmp_path: Any,
) -> None:
    texts = tmp_path / "texts.py"
    texts.write_text(TEXTS)
    server = serve(SERVICE, "--reload", "--grace", "1")
    with Conversation(server) as conversation:
        assert conversation.ask("greet", whom={"name": "Ada"}) == "Hello Ada, 1"
        texts.write_text("import time\n\ntime.sleep(600)\n" + TEXTS)
        server.wait_for("Still loading service.py. The former code answers.\n")
        assert conversation.ask("deployed") == ["greet", "loaded", "deployed"]
    assert server.stop(timeout=5) == 0
