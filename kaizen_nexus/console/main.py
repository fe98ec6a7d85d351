"""The entry point of ``nexus`` and ``kaizen-nexus``."""

from __future__ import annotations

import sys

__all__ = ["main"]

EXIT_MISSING_EXTRA = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the program with `arguments`, by default the process's own, and return the exit code.

    ``nexus run`` and ``nexus bench`` are handled here, before anything is imported that they do not
    need. All other subcommands need the extra ``serve``.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        from kaizen_nexus.console.run import main as run

        return run(arguments[1:])
    if arguments[:1] == ["bench"]:
        from kaizen_nexus.console.bench import main as bench

        return bench(arguments[1:])
    try:
        from kaizen_nexus.console.commands import run_command
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        what = " ".join(["nexus", *arguments[:1]])
        sys.stderr.write(
            f"Error: '{what}' needs {error.name}, which is not installed; "
            "run: pip install 'kaizen-nexus[serve]'\n"
        )
        return EXIT_MISSING_EXTRA
    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
