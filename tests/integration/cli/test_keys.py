"""``nexus keys``: making, listing and revoking API keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaizen_nexus.access.keys import KeyStore
from kaizen_nexus.console.main import main


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAIZEN_NEXUS_KEYS", raising=False)
    return tmp_path / "nexus-keys.json"


def test_a_key_is_made_listed_and_revoked(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--name", "ada", "--scope", "faq", "--scope", "echo"]) == 0
    out, err = capsys.readouterr()
    key = out.strip()
    caller = KeyStore(path).find(key)
    assert caller is not None
    assert caller.scopes == {"faq", "echo"}
    assert key not in err
    assert main(["keys", "list"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "NAME", "EXPIRES", "SCOPES"]
    key_id = row.split()[0]
    assert row.split()[1:] == ["ada", "never", "faq", "echo"]
    assert main(["keys", "revoke", key_id]) == 0
    assert KeyStore(path).find(key) is None
    assert main(["keys", "revoke", key_id]) == 4


def test_the_same_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "others.json"
    monkeypatch.setenv("KAIZEN_NEXUS_KEYS", str(path))
    create = ["keys", "create", "--name", "ada", "--scope", "*", "--expires", "30", "--json"]
    assert main(create) == 0
    made = json.loads(capsys.readouterr().out)
    assert KeyStore(path).find(made.pop("key")) is not None
    assert main(["keys", "list", "--json", "--file", str(path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == {"keys": [made]}
    assert sorted(made) == ["created", "expires", "id", "name", "scopes"]
    assert main(["keys", "revoke", made["id"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revoked": True}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "a b", "--scope", "faq"],
        ["--name", "ada", "--scope", "a b"],
        ["--name", "ada", "--scope", "faq", "--expires", "-1"],
        ["--name", "ada", "--scope", "faq", "--file", "no/such/folder/keys.json"],
    ],
)
def test_what_makes_no_key(
    path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", *arguments]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    assert not path.exists()
