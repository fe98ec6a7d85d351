"""Check that the channels of an app agree: in pytest, or as ``nexus check`` in a shell.

`check` gives an app's workflows the same inputs over HTTP, the command line and MCP, and reports
every difference; `assert_consistent` fails a test if there is one. Both need the
extra ``testing``.
"""

from kaizen_nexus.testing.api import assert_consistent, check
from kaizen_nexus.testing.report import CannotCheckError, Difference, InconsistentError, Report

__all__ = [
    "CannotCheckError",
    "Difference",
    "InconsistentError",
    "Report",
    "assert_consistent",
    "check",
]
