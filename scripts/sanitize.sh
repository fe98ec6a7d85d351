#!/usr/bin/env bash
# Run the core's tests with the extensions compiled for AddressSanitizer and
# UndefinedBehaviorSanitizer; any report fails.
usage="usage: scripts/sanitize.sh [--quick] [pytest arguments]

  --quick   the compiled core alone, few Hypothesis examples, less of what is slow (two minutes)

PYTHON names the interpreter, one that has the extra 'test' (default: .venv/bin/python, or python3).
Needs gcc with libasan and libubsan."
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
quick=
case "${1:-}" in
--quick) quick=1 && shift ;;
-h | --help) echo "$usage" && exit ;;
esac
export PYTHON=${PYTHON:-$here/../.venv/bin/python}
[ -x "$(command -v "$PYTHON")" ] || PYTHON=python3
PYTHON=$("$PYTHON" -c 'import sys; print(sys.executable)')

export CC=gcc
preload=
for library in libasan.so libubsan.so libstdc++.so.6; do
    # The C++ library too: AddressSanitizer looks for its functions once, before numpy loads it.
    path=$(gcc -print-file-name=$library)
    [ "$path" != "$library" ] || { echo "gcc has no $library: apt-get install gcc" >&2; exit 2; }
    preload+="$path "
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

checks=address,undefined,float-cast-overflow
level="-O1 -g"
[ -z "$quick" ] || level="-O0 -g1" # compiles four times as fast
CFLAGS="-fsanitize=$checks -fno-sanitize-recover=undefined,float-cast-overflow -fno-omit-frame-pointer $level" \
    LDFLAGS="-fsanitize=$checks" "$here/build_instrumented.sh" "$work"
for module in "$work"/site/kaizen_nexus/_core/*.so; do
    if ! grep -q __asan_report "$module" || ! grep -q __ubsan_handle "$module"; then
        echo "$module was compiled without the sanitizers" >&2
        exit 1
    fi
done

# Every object from malloc, or the interpreter's arenas would hide what lies beyond an object's end.
# Leaks are not looked for: an interpreter keeps much until it exits. Tests count references instead.
# What AddressSanitizer finds is also written to files, for a child that no test waits for.
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:abort_on_error=1:log_path=$work/report"
export UBSAN_OPTIONS="abort_on_error=1:print_stacktrace=1"
sanitized() { env LD_PRELOAD="$preload" "$PYTHON" "$@"; }

must_be_reported() { # CALL WORDS
    if sanitized -c "import deliberate_faults; deliberate_faults.$1" 2>"$work/report.stderr" ||
        ! grep -q "$2" "$work"/report.*; then
        echo "deliberate_faults.$1 went unnoticed: the sanitizers do not work here" >&2
        exit 1
    fi
    rm "$work"/report.*
}
cd "$work/faults"
must_be_reported "read_past_the_end(16)" "heap-buffer-overflow"
must_be_reported "read_freed(0)" "heap-use-after-free"
must_be_reported "add_past_the_end(2147483647)" "signed integer overflow"
sanitized -c "import deliberate_faults; deliberate_faults.read_past_the_end(15)"
PYTHONPATH=$work/site sanitized -c "
from kaizen_nexus._core import session_table
assert session_table.__file__.startswith('$work/'), session_table.__file__"

# Times mean nothing here, and which implementation is chosen does not depend on how it is compiled.
arguments=(tests/unit/core --ignore=tests/unit/core/test_selection.py)
if [ -z "$quick" ]; then
    arguments+=(-k "not time_grows")
else
    arguments+=(--core c --hypothesis-profile brief -k "not (time_grows or alike or rounds)")
fi
cd "$work/suite"
status=0
PYTHONPATH=$work/site sanitized -m pytest -q -p no:cacheprovider "${arguments[@]}" "$@" || status=$?
if compgen -G "$work/report.*" >/dev/null; then
    cat "$work"/report.* >&2
    exit 1
fi
exit $status
