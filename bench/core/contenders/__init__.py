"""What is measured against what: one adapter each, importing its library when it is made."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from bench.timing import Run, loop

__all__ = [
    "COMPILED",
    "ORIGINAL",
    "PURE",
    "Call",
    "WrongAnswerError",
    "available",
    "expect",
    "installed",
    "original",
]

COMPILED = "compiled"
PURE = "pure Python"
ORIGINAL = "the original"
DISTRIBUTIONS = "kailash-kaizen with kailash-nexus"
"""What the original is installed by."""

T = TypeVar("T")


class WrongAnswerError(Exception):
    """A contender does not do what it would be timed for."""


@dataclass(frozen=True)
class Call:
    """What is timed: an expression or a statement, as a caller would write it."""

    code: str
    """Python source; ``item`` in it is the next of `items`."""
    names: Mapping[str, object]
    """What the source refers to."""
    items: Sequence[object] | None = None
    before: Callable[[], object] | None = None
    """Called before each measurement, and not timed."""

    def run(self, items: Sequence[object] | None = None) -> Run:
        """Return what repeats and times it, over `items` if there are any."""
        repeated = loop(self.code, self.names, self.items if items is None else items)
        before = self.before
        if before is None:
            return repeated

        def run(number: int) -> float:
            before()
            return repeated(number)

        return run

    def function(self) -> Callable[..., Any]:
        """Return a function of an item that does the same once and returns what it gives."""
        is_expression = isinstance(ast.parse(self.code).body[0], ast.Expr)
        body = f"return {self.code}" if is_expression else self.code.replace("\n", "\n    ")
        source = f"def call(item=None):\n    {body}\n"
        scope: dict[str, Any] = dict(self.names)
        exec(compile(source, f"<{self.code}>", "exec"), scope)  # noqa: S102 - our own source
        function: Callable[..., Any] = scope["call"]
        return function


def installed(makers: Mapping[str, Callable[[], T]]) -> tuple[dict[str, T], dict[str, str]]:
    """Make the contenders whose libraries are installed.

    Returns
    -------
    dict
        The contenders, by name.
    dict
        Why each of the others is missing, by name.
    """
    made = {name: _made(make) for name, make in makers.items()}
    present = {name: item for name, (item, _) in made.items() if item is not None}
    return present, {name: reason for name, (item, reason) in made.items() if item is None}


def available(
    makers: Mapping[str, Callable[[], T]],
) -> tuple[dict[str, Callable[[], T]], dict[str, str]]:
    """Return how to make the contenders whose libraries are installed, and why others are not."""
    made, missing = installed(makers)
    return {name: makers[name] for name in made}, missing


def _made(make: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return make(), ""
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"


def original() -> ModuleType:
    """Import the package that this one stands in for.

    Raises
    ------
    ModuleNotFoundError
        It is not installed, or not complete: it exports nothing without kailash-nexus.
    """
    try:
        package = import_module("kaizen.integrations.nexus")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(str(error), name=DISTRIBUTIONS) from error
    if not package.NEXUS_AVAILABLE:
        raise ModuleNotFoundError("kailash-nexus is missing", name=DISTRIBUTIONS)
    return package


def expect(who: str, what: str, found: object, expected: object) -> None:
    """Raise unless a contender gave the right answer.

    Raises
    ------
    WrongAnswerError
        It did not.
    """
    if found != expected:
        raise WrongAnswerError(
            f"{who}: {what} gives {found!r:.200}, and should give {expected!r:.200}"
        )
