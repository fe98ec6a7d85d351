"""How the text of an option becomes a JSON value: one parameter type for each kind of input."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from kaizen_nexus.http.strict_json import StrictJsonError, loads

__all__ = ["ASSIGNMENT", "JSON_OBJECT", "NUMBER", "JsonText", "OneOf"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    _ParamType = click.ParamType[Any]
else:
    # Generic since click 8.4 only.
    _ParamType = click.ParamType


class _Number(click.types.FloatParamType):
    """A number that JSON can express."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class JsonText(_ParamType):
    """A value given as JSON text.

    Parameters
    ----------
    or_text
        Whether text that cannot be meant as JSON stands for itself, as for an input that may be a
        string or something else. What begins like an array, an object or a string is JSON.
    """

    name = "json"

    def __init__(self, *, or_text: bool = False) -> None:
        self.or_text = or_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that the JSON text stands for."""
        try:
            return loads(value.encode())
        except StrictJsonError as error:
            if self.or_text and not value.lstrip().startswith(("[", "{", '"')):
                return value
            self.fail(f"expected JSON: {error}.", param, ctx)


class _JsonObject(JsonText):
    """A JSON object."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        members = super().convert(value, param, ctx)
        if not isinstance(members, dict):
            self.fail("expected a JSON object with the inputs as its members.", param, ctx)
        return members


class _Assignment(_ParamType):
    """``KEY=TEXT`` or ``KEY:=JSON``."""

    name = "assignment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        key, separator, text = value.partition("=")
        if not separator or key in {"", ":"}:
            self.fail(f"{value!r} is neither KEY=TEXT nor KEY:=JSON.", param, ctx)
        if not key.endswith(":"):
            return key, text
        return key[:-1], JsonText().convert(text, param, ctx)


class OneOf(_ParamType):
    """One of a few values, each given by its label.

    `click.Choice` would apply the command's spelling of option names to the values too, and only
    knows strings before click 8.2.

    Parameters
    ----------
    labels
        The values by label, as `labels_of` makes them.
    """

    name = "choice"

    def __init__(self, labels: Mapping[str, Any]) -> None:
        self.labels = labels

    @staticmethod
    def labels_of(values: Sequence[Any]) -> dict[str, Any] | None:
        """Return `values` by label, or None if two of them would have the same."""
        labels = {v if isinstance(v, str) else json.dumps(v, ensure_ascii=False): v for v in values}
        return labels if len(labels) == len(values) else None

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the labels, as help shows them."""
        return f"[{'|'.join(self.labels)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value that has this label."""
        if value not in self.labels:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, self.labels))}.", param, ctx)
        return self.labels[value]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the labels that begin like this."""
        return [CompletionItem(label) for label in self.labels if label.startswith(incomplete)]


NUMBER = _Number()
JSON_OBJECT = _JsonObject()
ASSIGNMENT = _Assignment()
