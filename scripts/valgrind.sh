#!/usr/bin/env bash
# Run the core's tests under valgrind, which also sees what the interpreter and numpy, that no
# sanitizer was compiled into, read of memory that the core has freed.
usage="usage: scripts/valgrind.sh [pytest arguments]

By default the tests of the compiled core, with few Hypothesis examples, but for those that measure
time, use much of it, or start programs of their own; twelve minutes. Arguments replace that choice:
scripts/valgrind.sh tests/unit/core/test_cache_key.py

PYTHON names the interpreter, one that has the extra 'test' (default: .venv/bin/python, or python3).
Best from 3.12 on: before, the interpreter itself uses uninitialised memory, harmlessly."
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in
-h | --help) echo "$usage" && exit ;;
esac
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 2; }
export PYTHON=${PYTHON:-$here/../.venv/bin/python}
[ -x "$(command -v "$PYTHON")" ] || PYTHON=python3
PYTHON=$("$PYTHON" -c 'import sys; print(sys.executable)')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CFLAGS="-O1 -g1 -fno-omit-frame-pointer" "$here/build_instrumented.sh" "$work"

# Every object from malloc, or the interpreter's arenas would hide what lies beyond an object's end.
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
report=99
watched() {
    valgrind --quiet --error-exitcode=$report --suppressions="$here/valgrind.supp" \
        --log-file="$work/report.%p" "$PYTHON" "$@"
}
reports() { cat "$work"/report.* && rm "$work"/report.*; }

must_be_reported() { # CALL WORDS
    if watched -c "import deliberate_faults; deliberate_faults.$1" || ! reports | grep -q "$2"; then
        echo "deliberate_faults.$1 went unnoticed: valgrind does not work here" >&2
        exit 1
    fi
}
cd "$work/faults"
must_be_reported "read_past_the_end(16)" "Invalid read"
must_be_reported "read_freed(0)" "Invalid read"
must_be_reported "view_freed(0)[3]" "Invalid read"
watched -c "import deliberate_faults; deliberate_faults.read_past_the_end(15)"
reports

if [ $# = 0 ]; then
    set -- tests/unit/core -k "not (time_grows or alike)" --ignore-glob='*_threads.py' \
        --ignore=tests/unit/core/test_{selection,endurance,allocation_failure,cache_key_limits}.py
fi
cd "$work/suite"
status=0
PYTHONPATH=$work/site watched -m pytest -q -p no:cacheprovider --timeout=1200 \
    --core c --hypothesis-profile brief "$@" || status=$?
found=$(reports)
[ -z "$found" ] || { echo "$found" >&2; exit 1; }
exit $status
