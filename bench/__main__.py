"""``python -m bench SUITE``: run a suite of benchmarks and print its table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def prefer_installed_package() -> None:
    """Measure the installed package, unless the checkout itself has a compiled core.

    ``python -m`` puts the checkout first on the path, where the package is pure Python.
    """
    if any((ROOT / "kaizen_nexus" / "_core").glob("session_table.*.so")):
        return
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]


def main() -> int:
    """Run the suite that the command line names.

    A missed target is reported in words; only a wrong answer fails the run.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suite", choices=["guide"], help="guide: the performance guide's tables")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first impression")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args()
    prefer_installed_package()

    from bench import guide
    from bench.report import as_markdown, write_json

    rows = guide.run(rounds=5 if options.quick else 25, progress=sys.stderr.isatty())
    title = "The performance guide's figures"
    sys.stdout.write(as_markdown(title, rows) + "\n")
    if options.json is not None:
        write_json(options.json, title, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
