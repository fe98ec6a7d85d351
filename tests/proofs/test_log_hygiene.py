"""What strangers can make a server write into its log, and into its answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel

def fail(query: str) -> str:
    raise ValueError(query)

app = Nexus()
deploy_multi_channel(fail, app, "fail")
"""
FORGED = "1999-01-01 00:00:00,000 INFO root: all is well"
SESSION = "0123456789abcdef0123456789abcdef"
HOSTILE = f"\x1b[2J\x07\r\n{FORGED}\n\u202e{SESSION}"


def test_nobody_forges_the_log_or_reads_it_in_an_answer(serve: Callable[..., Any]) -> None:
    server = serve(SERVICE, "--log-level", "debug")
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    requests: list[tuple[str, Any, dict[str, str]]] = [
        ("/api/workflows/fail/execute", {"query": HOSTILE}, {}),
        ("/cli/run", {"argv": ["fail", "--query", HOSTILE]}, {}),
        ("/cli/run", {"argv": [HOSTILE]}, {}),
        ("/api/workflows/%1b%5b2J%0a1999/execute", {}, {}),
        ("/api/workflows/fail/execute", {"query": "x"}, {"X-Session-ID": SESSION}),
        ("/api/workflows/fail/execute", {"query": "x"}, {"Origin": "\x9b2J"}),
        (
            "/mcp",
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "fail", "arguments": {"query": HOSTILE}},
            },
            {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"},
        ),
    ]
    for path, body, headers in requests:
        client.request("POST", path, json.dumps(body), headers)
        answer = client.getresponse().read().decode()
        assert "Traceback" not in answer
        assert "service.py" not in answer
    client.close()
    assert server.stop() == 0
    log = "".join(server.log)
    assert "all is well" in log
    assert not any(line.startswith(FORGED) for line in log.split("\n"))
    assert SESSION not in log
    assert not set(log) & {"\x1b", "\x07", "\r", "\u202e", "\x9b"}
