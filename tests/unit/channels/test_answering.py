"""Answers that are written at once are, byte for byte, those that uvicorn writes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kaizen_nexus.http.server.answering import MAX_JOINED, AnswerCycle

BODY = {"type": "http.response.body", "body": b"hello"}


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def sized(length: bytes = b"5", **options: Any) -> dict[str, Any]:
    return start((b"content-type", b"text/plain"), (b"content-length", length), **options)


def outcome(
    kind: type[RequestResponseCycle], messages: list[Any], **options: Any
) -> tuple[Any, Wire]:
    """Return what came of sending `messages`, and what was written."""

    async def main() -> tuple[Any, Wire]:
        wire = Wire()
        completed: list[bool] = []
        logger = logging.getLogger("silent")
        flow = FlowControl(wire)  # type: ignore[arg-type]
        cycle = kind(
            scope={"type": "http", "method": options.get("method", "GET")},  # type: ignore[typeddict-item]
            transport=wire,  # type: ignore[arg-type]
            flow=flow,
            logger=logger,
            access_logger=logger,
            access_log=False,
            default_headers=[(b"date", b"today")],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=options.get("keep_alive", True),
            on_response=lambda: completed.append(True),
        )
        cycle.disconnected = options.get("disconnected", False)
        error = None
        try:
            for message in messages:
                await cycle.send(message)
        except Exception as raised:
            error = repr(raised)
        state = (error, cycle.response_complete, cycle.message_event.is_set(), completed)
        return (state, b"".join(wire.writes), wire.closed), wire

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "options", "writes"),
    [
        ([sized(), BODY], {}, 1),
        ([sized(b"0"), {"type": "http.response.body"}], {}, 1),
        ([sized(status=404), BODY], {}, 1),
        (
            [
                sized(b"%d" % (MAX_JOINED + 1)),
                {"type": "http.response.body", "body": bytes(MAX_JOINED + 1)},
            ],
            {},
            2,
        ),
        ([sized(), {**BODY, "more_body": True}, {"type": "http.response.body"}], {}, 3),
        ([start(), BODY], {}, 2),
        ([start((b"content-length", b"5"), (b"connection", b"close")), BODY], {}, 2),
        ([start((b"content-length", b"5"), (b"X-Name", b"v")), BODY], {}, 2),
        ([sized(), BODY], {"keep_alive": False}, 2),
        ([sized(), BODY], {"method": "HEAD"}, 1),
        ([sized(), BODY], {"disconnected": True}, 0),
        ([sized(b"4"), BODY], {}, 1),
        ([sized(b"6"), BODY], {}, 2),
        ([sized(b"5"), BODY, BODY], {}, 1),
        ([start((b"content-length", b"5"), (b"x", b"a\r\nb: c")), BODY], {}, 0),
        ([start((b"content-length", b"5"), (b"x y", b"a")), BODY], {}, 0),
        ([start((b"content-length", b"5"), (b"content-length", b"5")), BODY], {}, 2),
        ([BODY], {}, 0),
    ],
)
def test_an_answer_is_what_uvicorn_makes_of_it(
    messages: list[Any], options: dict[str, Any], writes: int
) -> None:
    ours, wire = outcome(AnswerCycle, messages, **options)
    theirs, _ = outcome(RequestResponseCycle, messages, **options)
    assert ours == theirs
    assert len(wire.writes) == writes


def test_an_answer_that_was_begun_and_given_up_is_another_one() -> None:
    (state, written, _), _ = outcome(AnswerCycle, [sized(), sized(status=500), BODY])
    assert state[:2] == (None, True)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert written.count(b"HTTP/1.1") == 1


def test_one_that_does_not_say_its_length_is_begun_at_once() -> None:
    _, wire = outcome(AnswerCycle, [start((b"content-type", b"text/event-stream"))])
    assert len(wire.writes) == 1
