"""Lines of file descriptors, read and written without threads and without blocking."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaizen_nexus.channels.mcp.lines import MAX_BACKLOG, LineReader, LineTooLongError, LineWriter

pytestmark = pytest.mark.anyio

MAX_LINE = 1_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """What to read from, and what to write to."""
    if request.param == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):  # closed already
            os.close(end)


def nothing() -> None:
    """Do nothing."""


async def lines(reader: LineReader) -> list[bytes | str]:
    found: list[bytes | str] = []
    while True:
        try:
            line = await reader.read()
        except LineTooLongError:
            found.append("too long")
            continue
        if line is None:
            return found
        found.append(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"a\nb\r\n\n", [b"a\n", b"b\r\n", b"\n"]),
        (b"a\nrest", [b"a\n", b"rest"]),
        (b"x" * MAX_LINE + b"\nb\n", [b"x" * MAX_LINE + b"\n", b"b\n"]),
        (b"x" * (MAX_LINE + 1) + b"\nb\n", ["too long", b"b\n"]),
        (b"a\n" + b"x" * 50_000 + b"\nb", [b"a\n", "too long", b"b"]),
        (b"a\n" + b"x" * 5_000, [b"a\n", "too long"]),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_lines_are_read_to_the_end(
    ends: tuple[int, int], text: bytes, expected: list[bytes | str]
) -> None:
    os.write(ends[1], text)
    os.close(ends[1])
    assert await lines(LineReader(ends[0], MAX_LINE)) == expected


async def test_a_line_may_come_in_pieces(ends: tuple[int, int]) -> None:
    reader = LineReader(ends[0], MAX_LINE)
    waiting = asyncio.create_task(reader.read())
    for piece in (b"a", b"b", b"c\nd"):
        os.write(ends[1], piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await waiting == b"abc\n"
    reader.end()
    assert await lines(reader) == [b"d"]


async def test_no_more_is_read_ahead_than_a_few_lines(ends: tuple[int, int]) -> None:
    reader = LineReader(ends[0], MAX_LINE)
    line = b"x" * 99 + b"\n"
    sent = 0
    while select.select([], [ends[1]], [], 0)[1]:
        sent += os.write(ends[1], line)
        await asyncio.sleep(0)
    for _ in range(sent // len(line)):
        assert await reader.read() == line
    os.write(ends[1], b"last\n")
    assert await reader.read() == b"last\n"


@pytest.mark.parametrize("device", ["file", os.devnull])
async def test_what_cannot_be_waited_for_is_read_at_once(tmp_path: Path, device: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\n" * 100_000)
    fd = os.open(path if device == "file" else device, os.O_RDONLY)
    try:
        number = len(await lines(LineReader(fd, MAX_LINE)))
    finally:
        os.close(fd)
    assert number == (100_000 if device == "file" else 0)


async def test_input_ends_when_it_is_given_up(ends: tuple[int, int]) -> None:
    reader = LineReader(ends[0], MAX_LINE)
    waiting = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    reader.end()
    os.write(ends[1], b"late\n")
    assert await waiting is None
    assert await reader.read() is None


async def test_lines_are_written_whole_and_in_order_however_slowly_they_are_read(
    ends: tuple[int, int],
) -> None:
    writer = LineWriter(ends[1], nothing)
    written = [b"%d" % number * size + b"\n" for number, size in enumerate([1, 300_000, 5, 0] * 9)]
    for line in written:
        writer.write(line)  # far more than fits
    reader = LineReader(ends[0], 1_000_000)
    found = [await reader.read() for _ in written]
    assert found == written
    await writer.flushed()
    writer.write(b"after\n")
    assert await reader.read() == b"after\n"


async def test_who_writes_much_waits_until_it_is_read(ends: tuple[int, int]) -> None:
    writer = LineWriter(ends[1], nothing)
    writer.write(b"x" * 1_000 + b"\n")
    await writer.ready()
    writer.write(b"x" * MAX_BACKLOG * 2 + b"\n")
    waiting = asyncio.create_task(writer.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    reader = LineReader(ends[0], MAX_BACKLOG * 3)
    await reader.read()
    assert len(await reader.read() or b"") == MAX_BACKLOG * 2 + 1
    await waiting


@pytest.mark.parametrize("backlog", [0, 1_000_000])
async def test_the_writer_learns_that_nobody_reads_any_more(
    ends: tuple[int, int], backlog: int
) -> None:
    broken = asyncio.Event()
    writer = LineWriter(ends[1], broken.set)
    writer.write(b"x" * backlog)
    os.close(ends[0])
    writer.write(b"lost\n")
    await broken.wait()
    await writer.flushed()
    writer.write(b"lost, too\n")
    await writer.ready()


async def test_what_was_given_up_is_not_written_any_more(ends: tuple[int, int]) -> None:
    writer = LineWriter(ends[1], nothing)
    writer.write(b"x" * 1_000_000 + b"\n")
    writer.close()
    await writer.flushed()
    writer.close()
