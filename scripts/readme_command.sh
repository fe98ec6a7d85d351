#!/usr/bin/env bash
# Print the command that the README gives for a job: scripts/readme_command.sh demo|tests
set -euo pipefail
awk -v job="<!-- command: $1 -->" '
    $0 == job { found = 1; next }
    found && /^```$/ { exit }
    found && !/^```/ { print; printed = 1 }
    END { exit !printed }
' "$(dirname "$0")/../README.md"
