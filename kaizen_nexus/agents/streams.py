"""Results that a generator yields in chunks, and the whole result.

A channel that waits for the end answers with the whole: a text if the chunks are text, otherwise an
array of the chunks.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec

from kaizen_nexus.agents.outputs import ResultEncoder, to_json
from kaizen_nexus.agents.schema import JsonSchema, explained, schema_of
from kaizen_nexus.agents.signature import ITERATORS

__all__ = ["StreamOutputs"]


class StreamOutputs:
    """The output of a workflow that streams: its JSON Schema, and how to encode chunks.

    Parameters
    ----------
    annotation
        The return annotation of the generator. With ``Any``, or an iterator of ``Any``, chunks are
        not checked.
    label
        What the output belongs to, for error messages.

    Raises
    ------
    TypeError
        The annotation is not an iterator, or its items have no JSON representation.
    """

    def __init__(self, annotation: Any, *, label: str) -> None:
        item = _item_type(annotation, label)
        self._checked = item is not Any
        self._text = _bare(item) is str
        with explained(
            f"what {label} yields has",
            "Annotate it as an iterator of a JSON type, a dataclass, a typed dictionary or a "
            "pydantic model, or leave the annotation out",
        ):
            self.item_schema: JsonSchema = schema_of(item) if self._checked else {}
            """JSON Schema (2020-12) of a chunk; empty (anything) if the agent declares none."""
            self._encode = ResultEncoder(item).encode if self._checked else to_json
            whole = {"type": "string"} if self._text else schema_of(list[item])  # type: ignore[valid-type]  # only known here
        self.schema: JsonSchema = whole if self._checked else {}
        """JSON Schema (2020-12) of the whole."""

    def encode_item(self, chunk: Any) -> bytes:
        """Return one chunk as JSON text on one line.

        Raises
        ------
        InvalidOutputError
            The chunk has no JSON form, or does not have the declared type.
        """
        encoded = self._encode(chunk)
        if b"\n" in encoded or b"\r" in encoded:
            # `msgspec.Raw`, JSON text that the agent made itself, may have line breaks.
            encoded = msgspec.json.format(encoded, indent=-1)
        return encoded

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Return the whole of encoded chunks; without a declared type, a text if all are text."""
        if self._text or (not self._checked and all(chunk[:1] == b'"' for chunk in chunks)):
            # JSON strings can be joined without decoding: escapes do not depend on their place.
            return b'"%b"' % b"".join([chunk[1:-1] for chunk in chunks])
        return b"[%b]" % b",".join(chunks)

    def encode(self, value: Iterable[Any]) -> bytes:
        """Return the whole of chunks that are not encoded yet, as JSON text.

        Raises
        ------
        InvalidOutputError
            As for `encode_item`.
        """
        return self.join([self.encode_item(chunk) for chunk in value])


def _item_type(annotation: Any, label: str) -> Any:
    """Return the type of the items of an iterator with this annotation."""
    iterator = _bare(annotation)
    origin = get_origin(iterator) or iterator
    if origin in (Any, object):
        return Any
    if origin in ITERATORS or origin in (collections.abc.Iterable, collections.abc.AsyncIterable):
        return next(iter(get_args(iterator)), Any)
    raise TypeError(
        f"{label} is a generator, and says that it returns {annotation!r}: annotate what it "
        "yields, as Iterator[str] or AsyncIterator[str] do, or leave the annotation out"
    )


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
