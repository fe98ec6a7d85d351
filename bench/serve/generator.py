"""A load generator on raw sockets: ``python generator.py`` with a plan on standard input.

It is a program of its own, of the standard library alone, so that it neither shares an interpreter
with what it loads nor costs more than it must. It polls its connections without ever sleeping:
an event loop's timers are a millisecond coarse, which is longer than the answers take.

In an *open loop* requests are due at moments that do not depend on the answers (those of a Poisson
process), and latency counts from the moment at which a request was due. A server that stalls
is thus charged for what waited meanwhile; nothing is coordinated with it, nothing omitted. In a
*closed loop* each connection sends its next request when it has the answer to the last.

Every answer must have a status from 200 to 299 and contain the number of its request.
"""

from __future__ import annotations

import json
import math
import random
import re
import select
import socket
import sys
import time
from collections import deque
from typing import Any

NUMBER = "@NUMBER@"
VALUE = "@VALUE@"
DIGITS = 9
"""Of each number, so that all requests of a plan are equally long."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
AT_ONCE = 1 << 18
DRAIN = 1.0
"""Seconds after the end of an open loop in which answers still count."""
PATIENCE = 20.0
"""Seconds without any answer after which a server is taken for dead."""


class BadAnswerError(Exception):
    """An answer that no load should be measured with."""


class Connection:
    """One connection, which has at most one request under way."""

    __slots__ = ("_buffer", "_end", "_expected", "due", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._buffer = b""
        self._expected = b""
        self._end = 0

    def send(self, request: bytes, expected: bytes, due: float) -> None:
        """Send a request that was due at a moment."""
        self.due = due
        self._expected = expected
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has come; return whether that completes the answer, which is checked then."""
        data = self.socket.recv(AT_ONCE)
        if not data:
            raise BadAnswerError("the server closed a connection")
        buffer = self._buffer = self._buffer + data
        if not self._end:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return False
            length = LENGTH.search(buffer, 0, head)
            if length is not None:
                self._end = head + 4 + int(length[1])
            elif not buffer.endswith(b"0\r\n\r\n"):
                return False
        if len(buffer) < self._end:
            return False
        if buffer[9:10] != b"2" or self._expected not in buffer:
            raise BadAnswerError(buffer[:500].decode("latin-1"))
        self._buffer = b""
        self._end = 0
        return True


class Requests:
    """The requests of a plan, each with a number of its own and one value after the other."""

    def __init__(self, plan: dict[str, Any]) -> None:
        body: str = plan["body"]
        size = len(body.encode()) + body.count(NUMBER) * (DIGITS - len(NUMBER))
        head, _, tail = f"{plan['head']}Content-Length: {size}\r\n\r\n".partition(VALUE)
        self._head, self._tail = head.encode(), tail.encode()
        self._body = body.encode().split(NUMBER.encode())
        self._expected = plan["expected"].encode().split(NUMBER.encode())
        self._values = [value.encode() for value in plan["values"]] or [b""]
        self._number: int = plan["first"]

    def next(self) -> tuple[bytes, bytes]:
        """Return a request, and what its answer must contain."""
        number = b"%0*d" % (DIGITS, self._number)
        value = self._values[self._number % len(self._values)]
        self._number += 1
        request = b"".join((self._head, value, self._tail, number.join(self._body)))
        return request, number.join(self._expected)


class Generator:
    """Loads a server with the requests of a plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._requests = Requests(plan)
        address = (plan["host"], plan["port"])
        self._connections = [Connection(address) for _ in range(plan["connections"])]
        self._by_number = {c.socket.fileno(): c for c in self._connections}
        self._poll = select.poll()
        for number in self._by_number:
            self._poll.register(number, select.POLLIN)
        self._last_answer = time.perf_counter()

    def run(self, seconds: float, rate: float | None, seed: int) -> dict[str, Any]:
        """Send requests for so long: `rate` a second on average, or all that are answered."""
        clock = time.perf_counter
        gap = random.Random(seed).expovariate  # noqa: S311 - when to send, not a secret
        latencies: list[float] = []
        waiting: deque[float] = deque()
        idle = deque(self._connections)
        offered = 0
        started = clock()
        end = started + seconds
        due = math.inf if rate is None else started + gap(rate)
        while True:
            now = clock()
            if rate is None and now < end:
                waiting.extend([now] * len(idle))
            while rate is not None and due <= now and due < end:
                waiting.append(due)
                due += gap(rate)
            while waiting and idle:
                connection = idle.popleft()
                connection.send(*self._requests.next(), waiting.popleft())
                offered += 1
            idle.extend(self._answered(latencies))
            if now >= end:
                finished = not waiting and len(idle) == len(self._connections)
                # In a closed loop what the server has begun counts: its CPU time is compared.
                if finished or (rate is not None and now >= end + DRAIN):
                    break
        # What is still without an answer has taken this long, at least.
        now = clock()
        busy = set(self._connections).difference(idle)
        unanswered = [now - at for at in (*waiting, *(c.due for c in busy))]
        return summary(latencies, clock() - started, offered + len(waiting), unanswered)

    def _answered(self, latencies: list[float]) -> list[Connection]:
        """Return the connections whose answer has come by now, after noting its latency."""
        done = []
        for number, _ in self._poll.poll(0):
            connection = self._by_number[number]
            if connection.receive():
                self._last_answer = time.perf_counter()
                latencies.append(self._last_answer - connection.due)
                done.append(connection)
        if not done and time.perf_counter() - self._last_answer > PATIENCE:
            raise BadAnswerError(f"no answer for {PATIENCE:g} seconds")
        return done


def summary(
    latencies: list[float], seconds: float, offered: int, unanswered: list[float]
) -> dict[str, Any]:
    """Return what a run has to report; latencies are in seconds."""
    ordered = sorted([*latencies, *unanswered])

    def percentile(percent: float) -> float:
        at: float = ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
        return at

    if not latencies:
        raise BadAnswerError("nothing was answered")
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "offered": offered,
        "p50": percentile(50),
        "p99": percentile(99),
    }


def main() -> int:
    """Do what the plan says, and print the summary."""
    plan = json.load(sys.stdin)
    try:
        result = Generator(plan).run(plan["seconds"], plan["rate"], plan["seed"])
    except (BadAnswerError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    import gc

    gc.disable()  # nothing here is cyclic, and a pause would be charged to the server
    raise SystemExit(main())
