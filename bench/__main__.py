"""``python -m bench SUITE``: run a suite of benchmarks and print its tables."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Section

ROOT = Path(__file__).resolve().parent.parent
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
OWN_PYTHON = ("LitServe", "kailash-nexus")
OWN_PYTHON_WORDS = " or ".join(OWN_PYTHON)
"""Contenders of the suite ``serve`` that may have an interpreter of their own."""


def main(arguments: Sequence[str] | None = None, program: str = "python -m bench") -> int:
    """Run the suite that the command line names, and return the exit code.

    A missed target is reported in words; only a wrong answer, or a missing dependency, fails the
    run.
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

    try:
        return measure(options)
    except KeyboardInterrupt:
        progress.clear()
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except ImportError as error:
        # What a missing extra says is the whole story; any other import error is a fault.
        if "pip install 'kaizen-nexus[" not in str(error):
            raise
        progress.clear()
        sys.stderr.write(f"Error: {error}\n")
        return EXIT_FAILED


def parse(program: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=program, description="Measure kaizen-nexus.")
    suites = parser.add_subparsers(dest="suite", title="suites", metavar="SUITE")
    core = suites.add_parser(
        "core",
        help="the core against its twin, the original and other libraries",
        description="The core against its pure-Python twin, the original and other libraries, "
        "as far as they are installed.",
    )
    guide = suites.add_parser(
        "guide",
        help="the performance guide's tables",
        description="The performance guide's tables, measured on a running app.",
    )
    kaizen = suites.add_parser(
        "kaizen",
        help="this package against kailash-kaizen, which it stands in for",
        description="The same operations on the same Kaizen agent, by this package and by "
        "kailash-kaizen with kailash-nexus, which must be installed.",
    )
    serve = suites.add_parser(
        "serve",
        help="servers under load, ours beside others",
        description="Servers under load, side by side: ours, a bare ASGI app, FastAPI, LitServe, "
        "kailash-nexus, the MCP SDK and FastMCP, as far as they are installed.",
    )
    walk = suites.add_parser(
        "walk",
        help="one request as a list of calls of ours",
        description="The calls of ours that a request takes, with their number.",
    )
    walk.add_argument("--check", action="store_true", help="fail if they are more than they may be")
    serve.add_argument(
        "--before",
        metavar="PYTHON",
        help="the interpreter of an environment that has another version of kaizen-nexus, to "
        "measure beside this one",
    )
    for suite in (core, guide, kaizen, serve, walk):
        suite.add_argument(
            "--quick", action="store_true", help="smaller and shorter, for a first impression"
        )
        suite.add_argument("--json", type=Path, metavar="FILE", help="also write all figures")
        suite.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables")
    for suite in (core, serve):
        suite.add_argument("--plots", type=Path, metavar="DIR", help="also draw SVG files")
    serve.add_argument(
        "--python",
        action="append",
        default=[],
        type=contender_python,
        metavar="NAME=PATH",
        help="the interpreter that has a contender which does not fit beside this package: "
        "LitServe or kailash-nexus; may be repeated",
    )
    return parser


def contender_python(text: str) -> tuple[str, str]:
    """Return the contender's name and its interpreter; for argparse."""
    name, equals, path = text.partition("=")
    if not equals or name not in OWN_PYTHON:
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, where NAME is {OWN_PYTHON_WORDS}")
    return name, path


def prefer_installed_package() -> None:
    """Measure the installed package, unless the checkout itself has a compiled core.

    ``python -m`` puts the checkout first on the path, where the package is pure Python.
    """
    if any((ROOT / "kaizen_nexus" / "_core").glob("session_table.*.so")):
        return
    # The harness stays importable: its own package has been imported already.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def measure(options: argparse.Namespace) -> int:
    """Run a suite, print and write what it gives."""
    from bench import environment, progress
    from bench.core.contenders import WrongAnswerError
    from bench.report import as_markdown, write_json

    suites = {"core": core, "guide": guide, "kaizen": kaizen, "serve": serve, "walk": walk}
    try:
        sections, packages = suites[options.suite](options)
    except WrongAnswerError as error:
        progress.clear()
        sys.stderr.write(f"Error: nothing is timed that is wrong: {error}\n")
        return EXIT_FAILED
    progress.clear()
    others = {name.lower(): path for name, path in getattr(options, "python", ())}
    described = environment.describe(packages, others, getattr(options, "before", None))
    text = as_markdown(sections, described) + "\n"
    sys.stdout.write(text)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json is not None:
        write_json(options.json, options.suite, sections, described)
    missed = any(row.met is False for section in sections for row in section.rows)
    return EXIT_FAILED if missed and getattr(options, "check", False) else 0


def core(options: argparse.Namespace) -> tuple[list[Section], Sequence[str]]:
    """Run the suite ``core``."""
    from bench import environment, progress
    from bench.core import scale, suite

    if options.plots is not None:
        check_matplotlib()
    sections = list(suite.run(scale.QUICK if options.quick else scale.FULL, progress.reporter()))
    if options.plots is not None:
        from bench.core import plots

        plots.write(sections, options.plots)
    return sections, environment.CORE


def kaizen(options: argparse.Namespace) -> tuple[list[Section], Sequence[str]]:
    """Run the suite ``kaizen``."""
    from bench import kaizen, progress
    from bench.core import scale

    chosen = scale.QUICK if options.quick else scale.FULL
    return kaizen.measure(chosen, progress.reporter()), kaizen.PACKAGES


def serve(options: argparse.Namespace) -> tuple[list[Section], Sequence[str]]:
    """Run the suite ``serve``, which needs the extra ``serve`` itself."""
    from bench import progress, serve
    from bench.serve.contenders import BEFORE

    if options.plots is not None:
        check_matplotlib()
    scale = serve.QUICK if options.quick else serve.FULL
    pythons = dict(options.python)
    if options.before is not None:
        pythons[BEFORE] = options.before
    sections = serve.measure(scale, pythons, progress.reporter())
    if options.plots is not None:
        from bench.serve import plots

        plots.write(sections, options.plots)
    return sections, serve.PACKAGES


def walk(_: argparse.Namespace) -> tuple[list[Section], Sequence[str]]:
    """Run the suite ``walk``, which serves an app and so needs the extra ``serve``."""
    from bench import environment, progress, walk

    return [walk.measure(progress.reporter())], environment.GUIDE


def check_matplotlib() -> None:
    """Raise before anything is measured, rather than when it is to be drawn."""
    from kaizen_nexus._extras import missing_extra

    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        missing_extra("--plots", "bench", error)


def guide(options: argparse.Namespace) -> tuple[list[Section], Sequence[str]]:
    """Run the suite ``guide``, which serves an app and so needs the extra ``serve``."""
    from bench import environment, progress
    from bench.guide import run
    from bench.report import Section

    rows = run(rounds=5 if options.quick else 25, say=progress.reporter())
    return [Section("The performance guide's figures", rows)], environment.GUIDE


if __name__ == "__main__":
    raise SystemExit(main())
