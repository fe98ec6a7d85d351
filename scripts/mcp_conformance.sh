#!/usr/bin/env bash
# The official MCP conformance suite and the Inspector's command line against a running server.
# They need Node 22, which comes from npm with them; all of it goes into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/scripts/mcp_conformance
python=${PYTHON:-$PWD/.venv/bin/python}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

(cd "$work" && npm install --silent --no-audit --no-fund node@22 \
    @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12.0)
bin=$work/node_modules/.bin
export PATH=$work/node_modules/node/bin:$bin:$PATH

port=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m kaizen_nexus serve "$here/tools.py:app" --port "$port" >"$work/server.log" 2>&1 &
server=$!
url=http://127.0.0.1:$port/mcp
curl --silent --fail --retry 50 --retry-delay 0 --retry-all-errors --max-time 60 --output /dev/null \
    "http://127.0.0.1:$port/health/ready" || { cat "$work/server.log"; exit 1; }

failed=0
for version in 2025-06-18 2025-11-25 2026-07-28; do
    echo "-- conformance, $version"
    conformance server --url "$url" --suite all --spec-version "$version" \
        --expected-failures "$here/expected.yml" >"$work/$version.log" 2>&1 || failed=1
    sed -n '/=== SUMMARY/,$p' "$work/$version.log"
done

for era in legacy modern; do
    echo "-- the Inspector over HTTP and over stdio, era $era"
    call=(--cli --protocol-era "$era" --method tools/call --tool-name test_simple_text)
    mcp-inspector "${call[@]}" --server-url "$url" --transport http >"$work/http"
    mcp-inspector "${call[@]}" -- "$python" -m kaizen_nexus mcp "$here/tools.py:app" >"$work/stdio"
    grep -q 'simple text response' "$work/http" && grep -q 'simple text response' "$work/stdio"
done
exit $failed
