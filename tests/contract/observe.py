"""Run the programs of `observations` against one of the two packages, or record what they observe.

python observe.py theirs|ours               prints one JSON object, from program to observation
python observe.py signatures theirs|ours    prints their signatures
python observe.py record                    writes recorded.json, for use without Kaizen
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
PACKAGE = "kaizen.integrations.nexus"
NEEDS_KAIZEN = "with_kaizen"
DIFFERENCES = "differences"


def programs() -> dict[str, str]:
    """Return the programs in their order, ``module.function``, each with its docstring."""
    return {
        f"{file.stem}.{node.name}": ast.get_docstring(node) or ""
        for file in sorted((HERE / "observations").glob("[!_]*.py"))
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and [argument.arg for argument in node.args.args] == ["nexus"]
    }


def observe(side: str) -> dict[str, Any]:
    """Run every program in this process, against the package that `side` names."""
    logging.disable()
    sys.path.insert(0, str(HERE))
    if side == "ours":
        import kaizen_nexus

        kaizen_nexus.install()
    package = importlib.import_module(PACKAGE)
    has_kaizen = importlib.util.find_spec("kaizen.core") is not None
    return {
        program: _run(program, package)
        for program in programs()
        if has_kaizen or not program.startswith(NEEDS_KAIZEN)
    }


def _run(program: str, package: ModuleType) -> Any:
    module, _, function = program.partition(".")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return getattr(importlib.import_module(f"observations.{module}"), function)(package)
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def signatures(side: str) -> dict[str, list[list[str]]]:
    """Return the parameters of every public function, constructor and method of the package."""
    if side == "ours":
        import kaizen_nexus

        kaizen_nexus.install()
    package = importlib.import_module(PACKAGE)
    found = {}
    for name in sorted(package.__all__):
        value = getattr(package, name)
        if inspect.isclass(value):
            members = {member: getattr(value, member) for member in dir(value)}
            found[name] = _parameters(value)
            for member, method in members.items():
                if callable(method) and not member.startswith("_"):
                    found[f"{name}.{member}"] = _parameters(method)
                elif member.startswith("record_"):
                    # In pure Python each of our metrics has functions of its own, in slots.
                    own = _parameters(getattr(value(), member))
                    found[f"{name}.{member}"] = [["self", "POSITIONAL_OR_KEYWORD", ""], *own]
        elif callable(value):
            found[name] = _parameters(value)
    return found


def _parameters(function: Any) -> list[list[str]]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return []  # compiled: what it takes is observed by calling it
    empty = inspect.Parameter.empty
    return [
        [each.name, each.kind.name, "" if each.default is empty else repr(each.default)]
        for each in parameters
    ]


def run_apart(*arguments: str) -> Any:
    """Run this file in a process of its own and return what it prints."""
    completed = subprocess.run(
        [sys.executable, str(HERE / "observe.py"), *arguments],
        cwd=sys.prefix,  # the checkout would shadow the installed package
        capture_output=True,
        text=True,
        timeout=110,
    )
    if completed.returncode:
        raise RuntimeError(completed.stderr)
    return json.loads(completed.stdout)


def record() -> None:
    """Write what the programs observe of both packages."""
    theirs, ours = run_apart("theirs"), run_apart("ours")
    recorded: dict[str, Any] = {
        program: {"theirs": theirs[program], "ours": ours[program]}
        if program.startswith(DIFFERENCES)
        else theirs[program]
        for program in programs()
    }
    recorded["signatures"] = run_apart("signatures", "theirs")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in recorded.items()]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    task, *rest = sys.argv[1:]
    if task == "record":
        record()
    else:
        json.dump(signatures(*rest) if task == "signatures" else observe(task), sys.stdout)
