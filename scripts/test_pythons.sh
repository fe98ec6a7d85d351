#!/usr/bin/env bash
# Run the test suite on every supported Python that is installed: scripts/test_pythons.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for version in 3.10 3.11 3.12 3.13; do
    python=$(command -v "python$version" || ls ~/.pyenv/versions/"$version".*/bin/python 2>/dev/null | tail -1 || true)
    [ -n "$python" ] || { echo "== $version is not installed"; continue; }
    echo "== $("$python" --version)"
    # A copy each: the checkout may hold modules that were compiled for another version.
    mkdir "$copy/$version"
    git ls-files -co --exclude-standard -z | tar cf - --null -T - | tar xf - -C "$copy/$version"
    (
        cd "$copy/$version"
        "$python" -m venv .venv
        .venv/bin/pip install -q ".[test]"
        KAIZEN_NEXUS_IMPL=c .venv/bin/pytest -q -n auto "$@"
    )
done
