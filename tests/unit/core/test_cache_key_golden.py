"""The recorded encodings: a change here is a new version of the format, and of its BLAKE2b tag."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kaizen_nexus

DATA = Path(__file__).parent / "data"
VECTORS: dict[str, dict[str, str]] = json.loads(
    (DATA / "cache_key_vectors.json").read_text("utf-8")
)


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, ...]]:
    monkeypatch.syspath_prepend(str(DATA))
    import cache_key_samples

    return cache_key_samples.SAMPLES


def run_python(tmp_path: Path, *arguments: str, seed: str, implementation: str) -> str:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "KAIZEN_NEXUS_IMPL": implementation,
        "PYTHONPATH": os.pathsep.join([str(DATA), str(Path(kaizen_nexus.__file__).parents[1])]),
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return done.stdout


def test_every_sample_is_recorded(samples):
    assert list(VECTORS) == list(samples)
    assert len({vector["key"] for vector in VECTORS.values()}) == len(VECTORS)


@pytest.mark.parametrize("name", VECTORS)
def test_vector(core, samples, name):
    module = core.module("cache_key")
    assert module.encode(*samples[name]).hex() == VECTORS[name]["encoded"]
    assert module.cache_key(*samples[name]) == VECTORS[name]["key"]


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_other_processes_and_hash_seeds_agree(core, tmp_path, seed):
    module = f"{core.package}.cache_key"
    script = str(DATA / "cache_key_samples.py")
    printed = run_python(tmp_path, script, module, seed=seed, implementation=core.name)
    assert json.loads(printed) == VECTORS


@pytest.mark.parametrize("implementation", ["c", "py"])
def test_the_selected_implementation_agrees(tmp_path, implementation):
    program = (
        "import json\n"
        "from cache_key_samples import SAMPLES\n"
        "from kaizen_nexus._accel import IMPLEMENTATION, cache_key\n"
        "keys = {name: cache_key(*values) for name, values in SAMPLES.items()}\n"
        "print(json.dumps([IMPLEMENTATION, keys]))\n"
    )
    printed = run_python(tmp_path, "-c", program, seed="7", implementation=implementation)
    chosen, keys = json.loads(printed)
    assert chosen == implementation
    assert keys == {name: vector["key"] for name, vector in VECTORS.items()}
