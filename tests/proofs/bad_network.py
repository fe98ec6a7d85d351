"""A TCP proxy that does to connections what networks do to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from itertools import cycle

CHUNK = 65_536
DELAY = 0.003
"""Seconds that each piece of data is held back."""
CUT_AT = 40
"""Bytes after which a connection is cut: within the head, both of a request and of an answer."""
RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with a reset."""


class Fault(Enum):
    """What happens to a connection."""

    NONE = "nothing"
    DELAYS = "each piece of data is late, in both directions"
    BYTES = "each byte comes in a segment of its own, in both directions"
    RESET_IN_REQUEST = "the connection is reset while the request is sent"
    RESET_IN_BODY = "the connection is reset before the last byte of the request"
    RESET_BEFORE_ANSWER = "the connection is reset when the request has been sent"
    RESET_IN_ANSWER = "the connection is reset while the answer is sent"
    END_IN_ANSWER = "the connection ends while the answer is sent"
    HALF_CLOSED = "the client has nothing more to say after its request"


HARMLESS = frozenset({Fault.NONE, Fault.DELAYS, Fault.BYTES})
"""After these every request must succeed."""
UNSENT = frozenset({Fault.RESET_IN_REQUEST, Fault.RESET_IN_BODY})
"""After these no request can have run."""


class _CutError(Exception):
    """The connection is to be cut here."""


class BadNetwork:
    """Forwards connections to a port of this machine, each with the next of some faults.

    Parameters
    ----------
    port
        Where to.
    faults
        What happens to the first connection, the second, and so on, over and over.
    """

    def __init__(self, port: int, faults: tuple[Fault, ...]) -> None:
        self._port = port
        self._faults: Iterator[Fault] = cycle(faults)
        self._tasks: set[asyncio.Task[None]] = set()
        self.fault_of: dict[int, Fault] = {}
        """By the client's port."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Forward connections meanwhile; give the port to connect to."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        fault = next(self._faults)
        self.fault_of[writer.get_extra_info("peername")[1]] = fault
        try:
            server = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.closing(server[1]), contextlib.closing(writer):
                await self._forward(fault, (reader, writer), server)
        finally:
            self._tasks.discard(task)

    async def _forward(
        self,
        fault: Fault,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        requests = asyncio.ensure_future(_requests(fault, client[0], server[1]))
        answers = asyncio.ensure_future(_answers(fault, server[0], client[1]))
        try:
            await asyncio.gather(requests, answers)
        except (_CutError, ConnectionError):
            if fault is not Fault.END_IN_ANSWER:
                for _, writer in (client, server):
                    _reset(writer)
        finally:
            requests.cancel()
            answers.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)


async def _requests(
    fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Forward what the client sends, one request after the other."""
    while head := await _head(reader):
        body = await reader.readexactly(_length(head))
        request = head + body
        if fault is Fault.RESET_IN_REQUEST:
            request = request[:CUT_AT]
        elif fault is Fault.RESET_IN_BODY:
            request = request[:-1]
        await _send(fault, request, writer)
        if fault in UNSENT or fault is Fault.RESET_BEFORE_ANSWER:
            raise _CutError
        if fault is Fault.HALF_CLOSED:
            writer.write_eof()
            return


async def _answers(
    fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Forward what the server answers."""
    while data := await reader.read(CHUNK):
        if fault in {Fault.RESET_IN_ANSWER, Fault.END_IN_ANSWER}:
            await _send(fault, data[:CUT_AT], writer)
            raise _CutError
        await _send(fault, data, writer)
    # Only one direction ends here, unless the other has already.
    writer.write_eof()


async def _send(fault: Fault, data: bytes, writer: asyncio.StreamWriter) -> None:
    pieces = [data]
    if fault is Fault.BYTES:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pieces = [data[i : i + 1] for i in range(len(data))]
    for piece in pieces:
        if fault is Fault.DELAYS:
            await asyncio.sleep(DELAY)
        writer.write(piece)
        await writer.drain()
        if fault is Fault.BYTES:
            await asyncio.sleep(0)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Return the head of a request, or nothing when the client has hung up."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
