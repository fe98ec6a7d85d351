"""``python -m bench SUITE``: run a suite of benchmarks and print its tables."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Section

Say = Callable[[str], None]

ROOT = Path(__file__).resolve().parent.parent
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
OWN_PYTHON = ("kailash-nexus",)
"""Contenders of the suite ``serve`` that may have an interpreter of their own."""


def main(arguments: Sequence[str] | None = None, program: str = "python -m bench") -> int:
    """Run the suite that the command line names, and return the exit code.

    A missed target is reported in words; only a wrong answer, a missing dependency, or a missed
    target of ``walk --check`` fails the run.
    """
    parser = parse(program)
    options = parser.parse_args(arguments)
    if options.suite is None:
        parser.print_help()
        return 0
    # Linear algebra is not measured, and idle threads of its library would be.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prefer_installed_package()
    from bench import progress
    from bench.core.contenders import WrongAnswerError

    try:
        return run(options)
    except KeyboardInterrupt:
        progress.clear()
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except WrongAnswerError as error:
        progress.clear()
        sys.stderr.write(f"Error: nothing is timed that is wrong: {error}\n")
        return EXIT_FAILED
    except ImportError as error:
        # The message of a missing extra says everything; any other import error is a fault.
        if "pip install 'kaizen-nexus[" not in str(error):
            raise
        progress.clear()
        sys.stderr.write(f"Error: {error}\n")
        return EXIT_FAILED


def parse(program: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=program, description="Measure kaizen-nexus.")
    suites = parser.add_subparsers(dest="suite", title="suites", metavar="SUITE")
    for name, measure in SUITES.items():
        about = str(measure.__doc__)
        suite = suites.add_parser(name, help=about.partition("\n")[0], description=about)
        suite.add_argument(
            "--quick", action="store_true", help="smaller and shorter, for a first impression"
        )
        suite.add_argument("--json", type=Path, metavar="FILE", help="also write all figures")
        suite.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables")
        suite.set_defaults(plots=None, python=(), before=None, check=False)
        if name in {"core", "serve"}:
            suite.add_argument("--plots", type=Path, metavar="DIR", help="also draw SVG files")
        if name == "walk":
            suite.add_argument(
                "--check", action="store_true", help="fail if there are more calls than allowed"
            )
        if name == "serve":
            suite.add_argument(
                "--python",
                action="append",
                default=[],
                type=contender_python,
                metavar="NAME=PATH",
                help="the interpreter that has a contender which does not fit beside this "
                f"package: {' or '.join(OWN_PYTHON)}",
            )
            suite.add_argument(
                "--before",
                metavar="PYTHON",
                help="the interpreter of an environment that has another version of kaizen-nexus, "
                "to measure beside this one",
            )
    return parser


def contender_python(text: str) -> tuple[str, str]:
    """Return the contender's name and its interpreter; for argparse."""
    name, equals, path = text.partition("=")
    if not equals or name not in OWN_PYTHON:
        names = " or ".join(OWN_PYTHON)
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, where NAME is {names}")
    return name, path


def prefer_installed_package() -> None:
    """Measure the installed package, unless the checkout itself has a compiled core.

    ``python -m`` puts the checkout first on the path, where the package is pure Python.
    """
    if any((ROOT / "kaizen_nexus" / "_core").glob("session_table.*.so")):
        return
    # The harness stays importable: its own package has been imported already.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def run(options: argparse.Namespace) -> int:
    """Run a suite, print and write what it gives."""
    from bench import environment, progress
    from bench.report import as_markdown, write_json

    if options.plots is not None:
        check_matplotlib()
    sections, packages = SUITES[options.suite](options, progress.reporter())
    if options.plots is not None:
        from bench import plots

        plots.write(sections, options.plots)
    progress.clear()
    pythons = {name.lower(): path for name, path in options.python}
    described = environment.describe(packages, pythons, options.before)
    text = as_markdown(sections, described) + "\n"
    sys.stdout.write(text)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json is not None:
        write_json(options.json, options.suite, sections, described)
    missed = any(row.met is False for section in sections for row in section.rows)
    return EXIT_FAILED if missed and options.check else 0


def check_matplotlib() -> None:
    """Raise before anything is measured, rather than when it is to be drawn."""
    from kaizen_nexus._extras import missing_extra

    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        missing_extra("--plots", "bench", error)


def core(options: argparse.Namespace, say: Say) -> tuple[list[Section], Sequence[str]]:
    """Time the core beside its twin, the original and the libraries that are installed."""
    from bench import environment
    from bench.core import scale, suite

    chosen = scale.QUICK if options.quick else scale.FULL
    return list(suite.run(chosen, say)), environment.CORE


def guide(options: argparse.Namespace, say: Say) -> tuple[list[Section], Sequence[str]]:
    """Measure the performance guide's tables on a running app."""
    from bench import environment
    from bench.guide import run
    from bench.report import Section

    rows = run(rounds=5 if options.quick else 25, say=say)
    return [Section("The performance guide's figures", rows)], environment.GUIDE


def kaizen(options: argparse.Namespace, say: Say) -> tuple[list[Section], Sequence[str]]:
    """Time this package beside kailash-kaizen, which it stands in for, on the same agent."""
    from bench import kaizen
    from bench.core import scale

    return kaizen.measure(scale.QUICK if options.quick else scale.FULL, say), kaizen.PACKAGES


def serve(options: argparse.Namespace, say: Say) -> tuple[list[Section], Sequence[str]]:
    """Put servers under load: ours, a bare ASGI app, FastAPI, the MCP SDK's and others."""
    from bench import serve
    from bench.serve.contenders import BEFORE

    pythons = dict(options.python)
    if options.before is not None:
        pythons[BEFORE] = options.before
    scale = serve.QUICK if options.quick else serve.FULL
    return serve.measure(scale, pythons, say), serve.PACKAGES


def walk(_: argparse.Namespace, say: Say) -> tuple[list[Section], Sequence[str]]:
    """List the calls of ours that one request takes, and count them."""
    from bench import environment, walk

    return [walk.measure(say)], environment.GUIDE


SUITES = {"core": core, "guide": guide, "kaizen": kaizen, "serve": serve, "walk": walk}

if __name__ == "__main__":
    raise SystemExit(main())
