"""Agents that are generators: how they are described, and what becomes of what they yield."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest

from kaizen_nexus import BaseAgent
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.agents.errors import InvalidOutputError
from kaizen_nexus.agents.signature import read_signature
from kaizen_nexus.agents.streams import StreamOutputs
from kaizen_nexus.agents.structure import signature_digest


@dataclass
class Step:
    name: str
    done: bool = False


class Colour(enum.Enum):
    RED = "red"


def words(query: str) -> Iterator[str]:
    """Repeat the query word by word."""
    yield from query.split()


async def words_later(query: str) -> AsyncIterator[str]:
    for word in query.split():
        yield word


class Streaming(BaseAgent):
    """Stream what a client streams."""

    def process(self, query: str) -> Iterator[str]:
        return words(query)


async def connect(query: str) -> AsyncGenerator[str, None]:
    return words_later(query)


@pytest.mark.parametrize(
    ("agent", "is_async"),
    [(words, False), (words_later, True), (Streaming(), False), (connect, True)],
)
def test_a_generator_and_what_returns_one_stream(agent: object, is_async: bool) -> None:
    workflow = as_workflow(agent, "it")
    assert (workflow.is_streaming, workflow.is_async) == (True, is_async)
    assert workflow.output_schema == {"type": "string"}
    assert workflow.renamed("other").is_streaming


def test_calling_the_workflow_gives_the_iterator() -> None:
    workflow = as_workflow(Streaming(), "it")
    chunks = workflow(query="a b")
    assert next(chunks) == "a"
    assert workflow.encode(chunks) == b'"b"'


def test_what_returns_its_result_at_once_does_not_stream() -> None:
    def listed(query: str) -> list[str]:
        return query.split()

    assert not as_workflow(listed, "it").is_streaming


@pytest.mark.parametrize(
    ("annotation", "item", "whole"),
    [
        (Iterator[str], {"type": "string"}, {"type": "string"}),
        (
            Iterator[Annotated[str, msgspec.Meta(max_length=3)]],
            {"type": "string", "maxLength": 3},
            {"type": "string"},
        ),
        (Annotated[Generator[str, None, int], "words"], {"type": "string"}, {"type": "string"}),
        (AsyncIterator[int], {"type": "integer"}, {"type": "array", "items": {"type": "integer"}}),
        (Iterator[Colour], None, None),
        (Iterable[Step], None, None),
        (Iterator, {}, {}),
        (Iterator[Any], {}, {}),
        (Any, {}, {}),
    ],
)
def test_the_annotation_gives_both_schemas(annotation: Any, item: Any, whole: Any) -> None:
    outputs = StreamOutputs(annotation, label="it")
    if item is None:
        assert outputs.schema["type"] == "array"
    else:
        assert (outputs.item_schema, outputs.schema) == (item, whole)


@pytest.mark.parametrize(
    ("annotation", "chunks", "whole"),
    [
        (Iterator[str], ['"', "\\", "\n", "", "é"], '"\\\né'),
        (Iterator[str], [], ""),
        (Any, ["a", "b"], "ab"),
        (Any, ["a", 1], ["a", 1]),
        (Any, [], ""),
        (Iterator[int], [1, 2], [1, 2]),
        (Iterator[int], [], []),
        (Iterator[Colour], [Colour.RED, Colour.RED], ["red", "red"]),
        (Iterator[Step], [Step("a")], [{"name": "a", "done": False}]),
    ],
)
def test_the_whole_of_the_chunks(annotation: Any, chunks: list[Any], whole: Any) -> None:
    outputs = StreamOutputs(annotation, label="it")
    assert msgspec.json.decode(outputs.encode(chunks)) == whole
    assert all(b"\n" not in outputs.encode_item(chunk) for chunk in chunks)


def test_json_text_of_the_agents_own_is_put_on_one_line() -> None:
    outputs = StreamOutputs(Any, label="it")
    assert outputs.encode_item(msgspec.Raw(b'{\r\n "a": 1}')) == b'{"a":1}'


def test_each_chunk_is_checked() -> None:
    with pytest.raises(InvalidOutputError, match="does not match the declared output"):
        StreamOutputs(Iterator[int], label="it").encode([1, "2"])


def wrong(query: str) -> str:
    yield query  # type: ignore[misc]  # the mistake


def opaque(query: str) -> Iterator[object.__class__]:  # type: ignore[name-defined]
    yield type(query)


@pytest.mark.parametrize(
    ("agent", "message"),
    [(wrong, r"annotate what it yields, as Iterator\[str\]"), (opaque, "yields has no JSON Sche")],
)
def test_an_annotation_that_does_not_fit_says_so(agent: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_workflow(agent, "it")


def test_streaming_is_part_of_the_cache_key() -> None:
    def variants() -> Iterator[Callable[..., Any]]:
        def agent(query: str):  # type: ignore[no-untyped-def]
            return query

        yield agent

        def agent(query: str):  # type: ignore[no-untyped-def, no-redef]
            yield query

        yield agent

    one, other = (read_signature(agent) for agent in variants())
    assert one.qualified_name == other.qualified_name
    assert signature_digest(one) != signature_digest(other)
