"""What is sent: one request after the other, each with a number of its own in its body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from typing import Any

from bench.serve.processes import HOST

__all__ = ["NUMBERS", "Template", "ask", "create_sessions"]

NUMBERS = count(1, 1_000_000)
"""Where the next run starts to number its requests: no body is ever sent twice."""


@dataclass(frozen=True)
class Template:
    """A POST request, in which the generator replaces its `NUMBER` and `VALUE` each time."""

    path: str
    body: str
    expected: str
    """What the body of the answer contains."""
    headers: Mapping[str, str] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    """What ``VALUE`` in a header stands for, in turn."""

    def plan(self, port: int) -> dict[str, Any]:
        """Return what a generator needs to send such requests to a port."""
        headers = {"Host": f"{HOST}:{port}", "Content-Type": "application/json", **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return {
            "host": HOST,
            "port": port,
            "head": "".join(f"{line}\r\n" for line in lines),
            "body": self.body,
            "expected": self.expected,
            "values": list(self.values),
            "first": next(NUMBERS),
        }


def ask(port: int, path: str, body: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Send one request; return the status and the body of the answer."""
    connection = HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def create_sessions(port: int, number: int, headers: Mapping[str, str]) -> tuple[str, ...]:
    """Create sessions on a server of ours and return their ids."""
    connection = HTTPConnection(HOST, port, timeout=30)
    created = []
    try:
        for _ in range(number):
            connection.request("POST", "/api/sessions", "{}", dict(headers))
            created.append(json.load(connection.getresponse())["session_id"])
    finally:
        connection.close()
    return tuple(created)
