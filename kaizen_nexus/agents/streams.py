"""Results that are made piece by piece: the chunks that a generator yields, and the whole of them.

The whole is what channels answer with that wait for the end: a text, if the chunks are text, and
otherwise an array of the chunks.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec

from kaizen_nexus.agents.outputs import ResultEncoder, to_json
from kaizen_nexus.agents.schema import JsonSchema, schema_of
from kaizen_nexus.agents.signature import ITERATORS

__all__ = ["StreamOutputs"]


class StreamOutputs:
    """The output of a workflow that streams: its JSON Schema, and how to encode chunks.

    Parameters
    ----------
    annotation
        The return annotation of the generator; ``Any``, or an iterator of anything, where nothing
        is said of what it yields, and then nothing is checked.
    label
        What the output belongs to, for error messages.

    Raises
    ------
    TypeError
        The annotation is not that of an iterator, or what it yields has no JSON representation.
    """

    def __init__(self, annotation: Any, *, label: str) -> None:
        item = _item_type(annotation, label)
        self._checked = item is not Any
        self._text = _bare(item) is str
        try:
            self.item_schema: JsonSchema = schema_of(item) if self._checked else {}
            """JSON Schema (2020-12) of a chunk; empty (anything) if the agent declares none."""
            self._encode = ResultEncoder(item).encode if self._checked else to_json
            whole = {"type": "string"} if self._text else schema_of(list[item])  # type: ignore[valid-type]  # only known here
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(
                f"what {label} yields has no JSON Schema: {error}. Annotate it as an iterator of "
                "a JSON type, a dataclass, a typed dictionary or a pydantic model, or leave the "
                "annotation out"
            ) from error
        self.schema: JsonSchema = whole if self._checked else {}
        """JSON Schema (2020-12) of the whole."""

    def encode_item(self, chunk: Any) -> bytes:
        """Return one chunk as JSON text on one line.

        Raises
        ------
        InvalidOutputError
            The chunk has no JSON form, or is not of the type that is declared.
        """
        encoded = self._encode(chunk)
        if b"\n" in encoded or b"\r" in encoded:
            # Only JSON text that the agent made itself, passed on as it is, has line breaks.
            encoded = msgspec.json.format(encoded, indent=-1)
        return encoded

    def join(self, chunks: Sequence[bytes]) -> bytes:
        """Return the whole of encoded chunks; without a declared type, a text if all are texts."""
        if self._text or (not self._checked and all(chunk[:1] == b'"' for chunk in chunks)):
            # What is between the quotes means the same wherever it stands.
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
    """Return what an iterator so annotated yields."""
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
