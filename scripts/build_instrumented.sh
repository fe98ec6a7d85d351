#!/usr/bin/env bash
# Build the core with the flags in CFLAGS and LDFLAGS, for scripts/sanitize.sh and scripts/valgrind.sh:
# PYTHON=... scripts/build_instrumented.sh DIRECTORY
# leaves the package in DIRECTORY/site, the tests in DIRECTORY/suite and deliberate_faults in
# DIRECTORY/faults. The checkout is not touched.
set -euo pipefail
target=$(realpath "$1")
cd "$(dirname "$0")/.."

if ! "$PYTHON" -c 'import hypothesis, numpy, pip, pytest, pytest_timeout'; then
    echo "$PYTHON lacks what the tests need: $PYTHON -m pip install '.[test]', or set PYTHON" >&2
    exit 2
fi
mkdir "$target"/{copy,suite,faults}
git ls-files -co --exclude-standard -z | tar cf - --ignore-failed-read --null -T - | tar xf - -C "$target/copy"
mv "$target"/copy/{tests,pyproject.toml} "$target/suite"
cp "$target/suite/pyproject.toml" "$target/copy"

printf '[build_ext]\nparallel = 3\n' >"$target/build.cfg"
DIST_EXTRA_CONFIG="$target/build.cfg" "$PYTHON" -m pip install -q --disable-pip-version-check \
    --no-deps --no-compile --target "$target/site" "$target/copy"
rm -r "$target/copy"

include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
read -ra flags <<<"${CFLAGS:-} ${LDFLAGS:-}"
"${CC:-cc}" -shared -fPIC "${flags[@]}" "-I$include" scripts/deliberate_faults.c \
    -o "$target/faults/deliberate_faults.so"
