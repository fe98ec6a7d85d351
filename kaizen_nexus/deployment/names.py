"""What an agent may be called: one rule for URLs, command lines and MCP tools."""

from __future__ import annotations

import re

__all__ = ["check_command_prefix", "check_name", "check_prefix"]

MAX_LENGTH = 128
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*){1,8}", re.ASCII)


def check_name(name: object) -> str:
    """Return `name` if it can stand in a URL path, a shell command and an MCP tool list unquoted.

    Raises
    ------
    ValueError
        It is empty, too long, or holds anything but ASCII letters, digits, ``_``, ``-``, ``.``.
    TypeError
        It is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__qualname__}")
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= MAX_LENGTH else name[:MAX_LENGTH] + "..."
        raise ValueError(
            f"name {shown!r} cannot be deployed: use 1 to {MAX_LENGTH} ASCII letters, digits, "
            "'_', '-' or '.', starting with a letter, a digit or '_'"
        )
    return name


def check_prefix(prefix: object) -> str:
    """Return `prefix` if it is a plain URL path such as ``/api/workflows``.

    Raises
    ------
    ValueError
        It is not.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"prefix {prefix!r} is not a path like '/api/workflows': start it with '/', end it "
            "without, and use ASCII letters, digits, '_', '-', '.' or '~'"
        )
    return prefix


def check_command_prefix(prefix: object) -> str:
    """Return `prefix` if a command can begin with it.

    Raises
    ------
    ValueError
        It is empty or not a string.
    """
    if not isinstance(prefix, str) or not prefix.strip():
        raise ValueError("command_prefix is empty: leave it out for 'nexus run'")
    return prefix
