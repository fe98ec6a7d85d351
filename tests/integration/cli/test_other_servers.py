"""What `nexus run` says of a server that is missing, slow, busy, or another program."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel


class TestServer:
    """What can be wrong with the server, and what is said of it."""

    def run(self, program: Any, url: str, *arguments: str) -> tuple[int, str]:
        done = program("run", "echo", "--query", "x", "--url", url, *arguments)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def test_there_is_none(self, program: Any) -> None:
        code, message = self.run(program, "http://127.0.0.1:1")
        assert code == 3
        assert message == (
            "Error: no kaizen-nexus server at http://127.0.0.1:1: Connection refused.\n"
            "Start one with 'nexus serve module:app', or name another with --url or NEXUS_URL.\n"
        )

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"[" * 100_000,
            b"{}",
            b'{"exit_code": "0", "stdout": "", "stderr": ""}',
            b"\xff",
        ],
    )
    def test_it_is_another_program(
        self, program: Any, other_server: Callable[..., str], body: bytes
    ) -> None:
        code, message = self.run(program, other_server(200, body))
        assert code == 3
        assert "what answers there is another program" in message

    @pytest.mark.parametrize(
        ("status", "code", "complaint"),
        [
            (404, 3, "is not a kaizen-nexus server: it answered with HTTP status 404"),
            (405, 3, "is not a kaizen-nexus server"),
            (403, 5, "refused with HTTP status 403"),
            (429, 5, "refused with HTTP status 429"),
            (503, 5, "refused with HTTP status 503"),
            (422, 2, "does not take this command line: because of this"),
        ],
    )
    def test_it_answers_with_another_status(
        self,
        program: Any,
        other_server: Callable[..., str],
        status: int,
        code: int,
        complaint: str,
    ) -> None:
        url = other_server(status, b'{"detail": "because of this"}')
        failed, message = self.run(program, url)
        assert failed == code
        assert complaint in message
        assert message.endswith("because of this\n")

    def test_it_has_moved(self, program: Any, other_server: Callable[..., str]) -> None:
        url = other_server(308, Location="https://example.org/ai/cli/run")
        code, message = self.run(program, url)
        assert (code, message) == (
            3,
            f"Error: {url} has moved: give --url https://example.org/ai.\n",
        )

    def test_it_is_too_slow(self, nexus: Any, gate: Any) -> None:
        done = nexus("run", "hold", "--timeout", "0.3")
        assert done.returncode == 3
        assert "no answer within 0.3 s" in done.stderr

    def test_it_has_reached_its_limit(self, tmp_path: Path, nexus: Any) -> None:
        entered, opened = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            opened.wait(30)

        app = Nexus(api_port=0, max_pending=1, shutdown_grace=1)
        deploy_multi_channel(hold, app, "hold")
        app.start(blocking=False)
        nexus.url = app.url
        first = nexus.start("run", "hold")
        try:
            assert entered.wait(30)
            second = nexus("run", "hold")
            assert second.returncode == 5
            assert "1 invocations are in progress, which is the limit" in second.stderr
        finally:
            opened.set()
            assert first.communicate(timeout=30) == ("null\n", "")
            app.close()
        assert first.returncode == 0
