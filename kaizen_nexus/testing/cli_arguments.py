"""How inputs are typed on a command line: each as its own option wherever that can be done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from kaizen_nexus.channels.cli.options import InputOption, input_options
from kaizen_nexus.channels.cli.values import NUMBER, JsonText, OneOf

__all__ = ["command_line"]

MAX_ARGUMENTS = 100_000
"""Characters; the system's own limits begin at 128 KiB for one argument."""
_TYPES: Mapping[Any, type] = {
    click.STRING: str,
    click.BOOL: bool,
    click.INT: int,
    NUMBER: float,
}


def command_line(schema: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the arguments that give `inputs`, and what goes to standard input.

    An option that would not give exactly this value is replaced by ``-i NAME:=JSON``. What no
    argument can hold, such as a NUL character, goes through ``--inputs -``.

    Parameters
    ----------
    schema
        The JSON Schema of the inputs.
    inputs
        Whether or not they are what the schema asks for.
    """
    options = {option.input_name: option for option in input_options(schema)}
    arguments: list[str] = []
    for name, value in inputs.items():
        option = options.get(name)
        typed = None if option is None else _typed(option, value)
        arguments += typed if typed is not None else ["-i", f"{name}:={_json(value)}"]
    # A name that holds "=" would be cut there, and one that ends with ":" would look like another.
    misread = any("=" in name or name.endswith(":") for name in inputs if name not in options)
    text = "\0".join(arguments)
    if misread or text.count("\0") >= max(len(arguments), 1) or len(text) > MAX_ARGUMENTS:
        return ["--inputs", "-"], json.dumps(inputs)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ["--inputs", "-"], json.dumps(inputs)
    return arguments, ""


def _typed(option: InputOption, value: Any) -> list[str] | None:
    """Return `value` as the option's own arguments, or None if it cannot be given so."""
    name = option.opts[0]
    if option.is_flag:
        if not isinstance(value, bool):
            return None
        return [name if value else option.secondary_opts[0]]
    if not option.multiple:
        text = _text(option.type, value)
        return None if text is None else [f"{name}={text}"]
    if not isinstance(value, list) or not value:
        return None
    texts = [_text(option.type, item) for item in value]
    return None if None in texts else [f"{name}={text}" for text in texts]


def _text(kind: click.ParamType[Any], value: Any) -> str | None:
    if isinstance(kind, OneOf):
        labels = (
            label
            for label, labelled in kind.labels.items()
            if labelled == value and type(labelled) is type(value)
        )
        return next(labels, None)
    if isinstance(kind, JsonText):
        return _json(value)
    # The exact type, since true is no integer, and an integer would arrive as a number, as 1.0.
    if _TYPES.get(kind) is not type(value):
        return None
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
