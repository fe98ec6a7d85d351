"""Options that are numbers of seconds, of every command that has some."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kaizen_nexus.console.commands import nexus


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "soon"])
@pytest.mark.parametrize(
    "command",
    [
        "serve x:y --grace",
        "serve x:y --drain",
        "list --timeout",
        "cache list --timeout",
        "check x:y --timeout",
    ],
)
def test_what_is_no_number_of_seconds_is_refused(command: str, seconds: str) -> None:
    outcome = CliRunner().invoke(nexus, [*command.split(), seconds])
    assert outcome.exit_code == 2
    assert f"Invalid value for '{command.rsplit(maxsplit=1)[-1]}'" in outcome.output
