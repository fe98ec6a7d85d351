"""Check what the wheel and the sdist hold: ``check_dist.py WHEEL SDIST``."""

from __future__ import annotations

import sys
import tarfile
import zipfile

MODULES = ("cache_key", "latency_histogram", "session_table")

SHIPPED = (
    "examples/docs_assistant.py",
    "examples/complete_integration/__main__.py",
    "bench/__main__.py",
    "bench/core/suite.py",
    "bench/guide/requests.py",
    "bench/kaizen/deployment.py",
    "bench/serve/servers/nexus_agents.py",
)
"""What lies beside the package: programs to read and to run."""


def main(wheel: str, sdist: str) -> int:
    """Raise unless both are complete and nothing lies outside the package."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
    with tarfile.open(sdist) as archive:
        sources = archive.getnames()
    for module in MODULES:
        stem = f"kaizen_nexus/_core/{module}"
        assert any(n.startswith(f"{stem}.") and n.endswith((".so", ".pyd")) for n in packed), stem
        assert any(name.endswith(f"_core/{module}.pyx") for name in sources), module
    for needed in ("kaizen_nexus/py.typed", "kaizen_nexus/channels/api/docs.html"):
        assert needed in packed, needed
    for shipped in SHIPPED:
        assert any(name.endswith(f"share/kaizen-nexus/{shipped}") for name in packed), shipped
    strays = [n for n in packed if not n.startswith(("kaizen_nexus/", "kaizen_nexus-"))]
    assert not strays, strays
    generated = [n for n in (*packed, *sources) if n.endswith((".c", ".cpp"))]
    assert not generated, generated
    sys.stdout.write(f"wheel: {len(packed)} files, sdist: {len(sources)} files, complete\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
