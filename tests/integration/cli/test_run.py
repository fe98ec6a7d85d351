"""`nexus run` as its users see it: the program, a server, and what comes out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_with_sessions


def test_a_text_is_printed_as_it_is(nexus: Any) -> None:
    done = nexus("run", "shout", "--query", "grüße an 世界 🎉\tund\nweiter")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "GRÜSSE AN 世界 🎉\tUND\nWEITER\n"


def test_a_text_that_ends_its_line_gets_no_second_end(nexus: Any) -> None:
    assert nexus("run", "shout", "--query", "a\n").stdout == "A\n"


def test_any_other_value_is_printed_as_json(nexus: Any) -> None:
    done = nexus("run", "echo", "--query", "é", "--times=2", "--style", "loud")
    assert done.stdout == '{\n  "answer": "é é",\n  "style": "loud"\n}\n'


def test_the_whole_answer_is_printed_on_request(nexus: Any) -> None:
    done = nexus("run", "remember", "--fact", "a", "--session", "new", "-o", "json")
    answer = json.loads(done.stdout)
    assert done.stderr == ""
    assert set(answer) == {"status", "result", "session_id", "duration_ms"}
    assert (answer["status"], answer["result"]) == ("success", ["a"])
    assert 0 < answer["duration_ms"] < 30_000
    again = nexus("run", "remember", "--fact", "b", "--session", answer["session_id"])
    assert json.loads(again.stdout) == ["a", "b"]


def test_a_conversation_goes_on_with_the_session_that_was_printed(nexus: Any) -> None:
    first = nexus("run", "remember", "--fact", "a", "--session", "new")
    announced = re.fullmatch(r"session: (\S+)\n", first.stderr)
    assert announced
    second = nexus("run", "remember", "--fact", "b", "--session", announced[1])
    assert json.loads(second.stdout) == ["a", "b"]
    assert second.stderr == first.stderr


def test_an_agent_deployed_with_sessions_announces_the_one_it_got(nexus: Any, app: Nexus) -> None:
    deploy_with_sessions(lambda query: query, app, "with_session")
    done = nexus("run", "with_session", "--query", "x")
    assert done.stdout == "x\n"
    assert done.stderr.startswith("session: ")


def test_the_cli_channel_is_what_is_measured(nexus: Any, app: Nexus) -> None:
    before = app.metrics.get_summary()["cli"]["count"]
    nexus("run", "shout", "--query", "x")
    assert app.metrics.get_summary()["cli"]["count"] == before + 1


def test_inputs_come_from_standard_input_too(nexus: Any) -> None:
    done = nexus("run", "echo", "--inputs", "-", "--times", "2", stdin='{"query": "é", "times": 9}')
    assert json.loads(done.stdout)["answer"] == "é é"


def test_inputs_that_no_schema_names_are_given_by_assignment(nexus: Any) -> None:
    done = nexus("run", "anything", "-i", "a=1", "-i", "b:=[1, null]")
    assert json.loads(done.stdout) == {"a": "1", "b": [1, None]}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_large_answer_arrives_whole(nexus: Any, unbuffered: str) -> None:
    done = nexus("run", "large", "--size", "20000000", PYTHONUNBUFFERED=unbuffered)
    assert done.stdout == "x" * 20_000_000 + "\n"


def test_an_answer_that_the_output_cannot_encode_is_escaped(nexus: Any) -> None:
    done = nexus("run", "shout", "--query", "é世", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "\\xc9\\u4e16\n")


def test_help_is_the_servers_and_as_wide_as_the_terminal(nexus: Any) -> None:
    done = nexus("run", "echo", "--help", COLUMNS="60")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: nexus run echo [OPTIONS]\n\n  Repeat the query.\n")
    assert "--query TEXT          What to repeat.  [required]\n" in done.stdout
    assert "--style [loud|plain]  [default: plain]\n" in done.stdout
    assert 50 < max(map(len, done.stdout.splitlines())) <= 60


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--url", "http://nowhere", "--help"]])
def test_general_help_needs_no_server(program: Any, arguments: list[str]) -> None:
    done = program("run", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: nexus run NAME [OPTIONS]\n")
    documented = re.findall(r"^  (\d+) +\S", done.stdout, re.MULTILINE)
    assert documented == ["0", "1", "2", "3", "4", "5", "130", "141"]


class TestFailure:
    """Nothing is on standard output, and the exit code says what kind of failure it is."""

    def failure(self, program: Any, *arguments: str, **environment: str) -> tuple[int, str]:
        done = program("run", *arguments, **environment)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def test_an_agent_that_fails_keeps_its_secrets(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "fail", "--query", "x")
        assert (code, "secret" in message) == (1, False)
        assert message == "Error: the agent behind 'fail' failed; its server's log says why\n"

    def test_a_missing_option(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "echo")
        assert code == 2
        assert message == (
            "Usage: nexus run echo [OPTIONS]\n"
            "Try 'nexus run echo --help' for what it takes.\n\n"
            "Error: Missing option --query.\n"
        )

    def test_an_option_that_lacks_its_value(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "echo", "--query")
        assert code == 2
        assert "Try 'nexus run echo --help'" in message
        assert "Option '--query' requires an argument." in message

    def test_an_input_that_the_workflow_refuses(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "echo", "-i", "query:=7")
        assert (code, message) == (2, "Error: --query: Expected `str`, got `int`\n")
        code, message = self.failure(nexus, "echo", "--query", "x", "-i", "what=x")
        assert code == 2
        assert message.startswith("Error: input 'what': ")

    @pytest.mark.parametrize("arguments", [[], ["--session", "x", "echo"], ["-o", "json"]])
    def test_no_name(self, program: Any, arguments: list[str]) -> None:
        code, message = self.failure(program, *arguments)
        assert code == 2
        assert message.endswith("Error: the name of a workflow comes first.\n")

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["echo", "--url"], "--url needs a value."),
            (["echo", "--url", "ftp://x"], "'ftp://x' is not a URL like http://127.0.0.1:8000"),
            (["echo", "--timeout", "x"], "--timeout takes seconds"),
        ],
    )
    def test_bad_usage_of_the_program_itself(
        self, program: Any, arguments: list[str], complaint: str
    ) -> None:
        code, message = self.failure(program, *arguments)
        assert code == 2
        assert message.startswith(f"Error: {complaint}")

    def test_a_command_line_that_is_too_large(self, nexus: Any) -> None:
        # Half a request: each of its quotes takes two bytes there.
        done = nexus("run", "shout", "--inputs", "-", stdin='{"query": "%s"}' % ('\\"' * 1_200_000))
        assert done.returncode == 2
        assert "larger than 1048576 bytes" in done.stderr or "reset" in done.stderr

    def test_no_such_workflow(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "shuot", "--query", "x")
        assert code == 4
        assert "no workflow named 'shuot'" in message
        assert "Did you mean 'shout'? 'nexus list' shows what is deployed.\n" in message

    def test_a_workflow_of_another_channel(self, nexus: Any) -> None:
        code, message = self.failure(nexus, "only_mcp")
        assert code == 4
        assert message.endswith("It is deployed as mcp only.\n")

    @pytest.mark.parametrize("session", ["", "nonsense", "0" * 32, "é" * 1_000])
    def test_no_such_session(self, nexus: Any, session: str) -> None:
        code, message = self.failure(nexus, "remember", "--fact", "x", f"--session={session}")
        assert code == 4
        assert "there is no such session" in message

    def test_colour_only_on_a_terminal(self, nexus: Any) -> None:
        assert "\033" not in self.failure(nexus, "nothing", TERM="xterm-256color")[1]


class TestStreams:
    """What happens to the process itself."""

    def test_ctrl_c(self, nexus: Any, gate: Any) -> None:
        running = nexus.start("run", "hold")
        assert gate.entered.wait(30)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=30) == ("", "Interrupted.\n")
        assert running.returncode == 130

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_has_seen_enough(self, nexus: Any, unbuffered: str) -> None:
        environment = {"PYTHONUNBUFFERED": unbuffered}
        running = nexus.start("run", "large", "--size", "5000000", env=environment)
        assert running.stdout.read(10) == "x" * 10
        running.stdout.close()
        assert running.stderr.read() == ""
        running.stderr.close()
        assert running.wait(30) == 141

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_full_disk(self, nexus: Any, unbuffered: str) -> None:
        environment = {"PYTHONUNBUFFERED": unbuffered}
        with Path("/dev/full").open("w") as full:
            running = nexus.start("run", "shout", "--query", "x", stdout=full, env=environment)
            _, message = running.communicate(timeout=30)
        assert running.returncode == 1
        assert message == "Error: cannot write to standard output: No space left on device.\n"

    @pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, nexus: Any, closed: str) -> None:
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *nexus.command("run", "shout", "--query", "x")],
            cwd=nexus.folder,
            env=nexus.environment(),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0
        assert done.stdout == (b"" if ">&-" in closed.replace("2>&-", "") else b"X\n")
        assert done.stderr == b""

    @pytest.mark.skipif(sys.platform != "linux", reason="arguments are bytes there")
    def test_an_argument_that_is_not_text(self, nexus: Any) -> None:
        done = nexus("run", "shout", "--query", "caf\udce9")
        assert done.returncode == 2
        assert r"caf\udce9' is not text in your shell's encoding" in done.stderr
