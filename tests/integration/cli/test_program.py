"""The other subcommands: serving an app, listing what is deployed, completing command lines."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import kaizen_nexus
from kaizen_nexus import Nexus

EVERYWHERE = "0.0.0.0"  # noqa: S104  # for the time of one test
SERVICE = """\
import time
from kaizen_nexus import Nexus, deploy_multi_channel

print("loading")

def greet(name: str) -> str:
    '''Greet somebody.'''
    print("greeting")
    return f"Hello {name}"

def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "done"

app = Nexus(shutdown_grace=5)
deploy_multi_channel(greet, app, "greet")
deploy_multi_channel(slow, app, "slow")
"""


@pytest.fixture
def service(program: Any) -> Any:
    """The program, in a folder with a service in it."""
    (program.folder / "service.py").write_text(SERVICE)
    return program


@contextlib.contextmanager
def serving(program: Any, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Serve an app in a process; yield it, its URL and what it announced."""
    process = program.start("serve", *arguments)
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    try:
        announced = ""
        while "Ctrl-C stops it." not in announced:
            line = process.stderr.readline()
            assert line, announced
            announced += line
        url = re.search(r"Serving on (http://\S+[0-9])", announced)
        assert url
        yield process, url[1], announced
    finally:
        deadline.cancel()
        process.kill()
        process.communicate(timeout=30)


class TestServe:
    @pytest.mark.parametrize(
        "target",
        [
            "service:app",
            pytest.param("service", marks=pytest.mark.slow),
            pytest.param("service.py", marks=pytest.mark.slow),
            pytest.param("./service.py:app", marks=pytest.mark.slow),
        ],
    )
    def test_an_app_is_served_until_it_is_told_to_stop(self, service: Any, target: str) -> None:
        with serving(service, target, "--port", "0") as (process, url, announced):
            assert "Workflows: greet, slow\n" in announced
            assert f"export NEXUS_URL={url}\n" in announced
            done = service("run", "greet", "--name", "you", "--url", url)
            assert (done.returncode, done.stdout) == (0, "Hello you\n")
            process.terminate()
            _, rest = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, "Stopping: running requests may finish.\n")

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [[], ["--reload"]])
    def test_the_collector_leaves_alone_what_was_loaded_to_stay(
        self, program: Any, options: list[str]
    ) -> None:
        (program.folder / "frozen.py").write_text(
            "import gc\nfrom kaizen_nexus import Nexus, deploy_multi_channel\n"
            "app = Nexus()\ndeploy_multi_channel(gc.get_freeze_count, app, 'frozen')\n"
        )
        with serving(program, "frozen", "--port", "0", *options) as (_, url, _):
            done = program("run", "frozen", "--url", url)
        assert done.returncode == 0, done.stderr
        assert (int(done.stdout) > 10_000) is not bool(options)

    def test_a_running_request_finishes(self, service: Any) -> None:
        with serving(service, "service", "--port", "0") as (process, url, _):
            running = service.start("run", "slow", "--seconds", "1", "--url", url)
            status = '"executions_in_progress":1'
            assert wait_until(lambda: status in health_of(url))
            process.send_signal(signal.SIGINT)
            assert running.communicate(timeout=30) == ("done\n", "")
            process.communicate(timeout=30)
        assert (running.returncode, process.returncode) == (0, 0)

    @pytest.mark.slow
    def test_host_and_ports_are_the_command_lines(self, service: Any) -> None:
        where = ["--host", EVERYWHERE, "--insecure", "--port", "0", "--mcp-port", "0"]
        with serving(service, "service", *where) as (_, url, announced):
            port = url.rpartition(":")[2]
            second = re.search(r", and for MCP on port (\d+)\n", announced)
            assert second
            assert f"export NEXUS_URL=http://127.0.0.1:{port}\n" in announced
            for reachable in (port, second[1]):
                done = service("list", "--url", f"http://127.0.0.1:{reachable}")
                assert done.stdout.startswith("greet ")

    def test_an_address_that_others_can_reach_is_refused(self, service: Any) -> None:
        done = service("serve", "service", "--host", EVERYWHERE, "--port", "0")
        assert done.returncode == 1
        assert done.stderr.startswith("Error: other machines could reach this app at '0.0.0.0'")
        assert "--insecure" in done.stderr

    @pytest.mark.slow
    def test_hosts_and_origins_are_allowed(self, service: Any) -> None:
        allowed = ["--allow-host", "a.example.com", "--allow-origin", "https://b.example.com"]
        headers = {"Host": "a.example.com", "Origin": "https://b.example.com"}
        with serving(service, "service", "--port", "0", *allowed) as (_, url, _):
            request = urllib.request.Request(f"{url}/health/live", headers=headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                assert answer.status == 200

    def test_a_port_in_use_is_said(self, service: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = service("serve", "service", "--port", port)
        assert done.returncode == 1
        assert f"Error: port {port} on 127.0.0.1 is in use" in done.stderr
        assert "--port" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("arguments", [["--host", "203.0.113.1"], ["--host", "no such host"]])
    def test_an_address_that_is_not_ours_is_said(self, service: Any, arguments: list[str]) -> None:
        done = service("serve", "service", "--port", "0", *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["nothing"], "there is no module 'nothing'"),
            (["service:nothing"], "try service:app"),
            (["service:greet"], "is of type function, not Nexus"),
            ([], "Missing argument 'TARGET'"),
            (["service", "--port", "65536"], "65536 is not in the range"),
            (["service", "--allow-host", "https://a.example.com"], "is not a host"),
            (["service", "--allow-origin", "a.example.com"], "is not an origin"),
        ],
    )
    def test_bad_usage(self, service: Any, arguments: list[str], complaint: str) -> None:
        done = service("serve", *arguments)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr


class TestMcp:
    def test_standard_output_is_the_protocols_alone(self, service: Any) -> None:
        messages = [
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": {"name": "test", "version": "0"},
                },
            },
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {
                "jsonrpc": "2.0",
                "id": 2,
                "method": "tools/call",
                "params": {"name": "greet", "arguments": {"name": "you"}},
            },
        ]
        process = service.start("mcp", "service:app", stdin=subprocess.PIPE)
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        try:
            process.stdin.write("".join(f"{json.dumps(message)}\n" for message in messages))
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(2)]
        finally:
            deadline.cancel()
            _, log = process.communicate(timeout=30)
        answers = [json.loads(line) for line in filter(None, lines)]
        assert [answer["id"] for answer in answers] == [1, 2], log
        assert "Hello you" in json.dumps(answers[1]["result"])
        assert process.returncode == 0
        assert "loading\n" in log
        assert "greeting\n" in log


class TestList:
    def test_a_table(self, nexus: Any) -> None:
        done = nexus("list", COLUMNS="40")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "echo      api, cli, mcp  Repeat the query."
        assert "remember  api, cli, mcp  Remember every fa..." in lines
        assert "only_mcp  mcp" in lines
        assert "\033" not in done.stdout

    def test_json(self, nexus: Any, app: Nexus) -> None:
        workflows = json.loads(nexus("list", "-o", "json").stdout)["workflows"]
        assert [workflow["name"] for workflow in workflows] == app.runtime.registry.names()
        assert workflows[0]["channels"] == ["api", "cli", "mcp"]
        assert workflows[0]["description"] == "Repeat the query."

    def test_nothing_deployed(self, program: Any) -> None:
        app = Nexus(api_port=0)
        app.start(blocking=False)
        try:
            done = program("list", "--url", app.url)
        finally:
            app.close()
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "No workflow is deployed.\n"

    def test_no_server(self, program: Any) -> None:
        done = program("list", "--url", "http://127.0.0.1:1")
        assert done.returncode == 3
        assert "Connection refused.\nStart one with 'nexus serve module:app'" in done.stderr

    @pytest.mark.parametrize(
        ("status", "body"),
        [(404, b"{}"), (200, b"{}"), (200, b"<"), (200, b'{"workflows": [1]}')],
    )
    def test_another_server(
        self, program: Any, other_server: Callable[..., str], status: int, body: bytes
    ) -> None:
        done = program("list", "--url", other_server(status, body))
        assert done.returncode == 3
        assert "no kaizen-nexus server at" in done.stderr

    def test_bad_url(self, program: Any) -> None:
        done = program("list", NEXUS_URL="ftp://x")
        assert done.returncode == 2
        assert "'ftp://x' is not a URL" in done.stderr


class TestCompletion:
    def complete(self, nexus: Any, *words: str) -> list[str]:
        done = nexus(
            _NEXUS_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(("nexus", *words)),
            COMP_CWORD=str(len(words)),
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]

    def test_subcommands(self, nexus: Any) -> None:
        assert self.complete(nexus, "se") == ["serve"]
        assert "run" in self.complete(nexus, "")

    def test_workflows(self, nexus: Any) -> None:
        assert self.complete(nexus, "run", "sh") == ["shout"]
        assert "only_mcp" not in self.complete(nexus, "run", "")

    def test_options_of_a_workflow(self, nexus: Any) -> None:
        assert self.complete(nexus, "run", "echo", "--sty") == ["--style"]

    def test_values_of_an_option(self, nexus: Any) -> None:
        assert self.complete(nexus, "run", "echo", "--style", "l") == ["loud"]

    @pytest.mark.parametrize("words", [("run", "sh"), ("run", "echo", "--"), ("run", "--url", "x")])
    def test_no_server_means_no_suggestions(self, program: Any, words: tuple[str, ...]) -> None:
        program.url = "http://127.0.0.1:1"
        assert self.complete(program, *words) == []

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_script_for_the_shell(self, program: Any, shell: str) -> None:
        done = program(_NEXUS_COMPLETE=f"{shell}_source")
        assert done.returncode == 0
        assert "_NEXUS_COMPLETE" in done.stdout


def test_the_version_names_the_core(program: Any) -> None:
    done = program("version", KAIZEN_NEXUS_IMPL="py")
    assert done.returncode == 0
    assert done.stdout.startswith(
        f"kaizen-nexus {kaizen_nexus.__version__}, pure Python core (py), "
    )


def test_help_lists_all_subcommands(program: Any) -> None:
    listed = re.findall(r"^  (\w+)  ", program("--help").stdout, re.MULTILINE)
    assert listed == [
        "bench",
        "cache",
        "check",
        "demo",
        "keys",
        "list",
        "mcp",
        "run",
        "serve",
        "version",
    ]


def health_of(url: str) -> str:
    from kaizen_nexus.channels.cli.transport import request

    return request("GET", url, "/health/ready", timeout=10).body.decode()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Ask another process until it says so; each question takes it some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
    return False
