"""Making and revoking API keys: the file of their hashes, as the ``nexus keys`` program writes it.

Each change writes a new file and renames it over the old one, so a server never reads half a file;
writers wait for each other with a lock on a second file, which is never replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from kaizen_nexus.access.keys import (
    KEY_PREFIX,
    MAX_FILE_BYTES,
    ApiKey,
    KeyFile,
    digest,
    read_keys,
)
from kaizen_nexus.access.policy import EVERYTHING, MONITOR
from kaizen_nexus.deployment.names import check_name

__all__ = ["MAX_KEYS", "create_key", "list_keys", "revoke_key"]

MAX_KEYS = 1_000
MAX_SCOPES = 100
SECONDS_PER_DAY = 86_400
MAX_DAYS = 36_500
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}", re.ASCII)
_OWNER_ONLY = 0o600


def create_key(
    path: Path,
    name: str,
    scopes: Sequence[str],
    days: float | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
) -> tuple[str, ApiKey]:
    """Add a key to a file, which is created if need be; safe beside other writers.

    Parameters
    ----------
    path
        The file, which only its owner can read.
    name
        The owner of the key.
    scopes
        Names of workflows, ``"nexus:monitor"``, or ``"*"`` for everything.
    days
        For how many days it is valid; None means for ever.
    wall_clock
        Seconds since the epoch.

    Returns
    -------
    tuple
        The key, which is stored nowhere, and what the file keeps of it.

    Raises
    ------
    ValueError
        A name, a scope or the number of days cannot be used, the file is not a file of API keys, or
        it is full.
    OSError
        The file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a key's name must be 1 to 128 ASCII letters, digits or '_.@+-', not {name[:128]!r}"
        )
    for scope in scopes:
        if scope not in {EVERYTHING, MONITOR}:
            check_name(scope)
    if not 0 < len(scopes) <= MAX_SCOPES:
        raise ValueError(f"a key must have 1 to {MAX_SCOPES} scopes, not {len(scopes)}")
    if days is not None and not 0 < days <= MAX_DAYS:
        raise ValueError(f"a key must expire after more than 0 and at most {MAX_DAYS} days")
    now = wall_clock()
    key_id = secrets.token_hex(8)
    key = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    kept = ApiKey(
        id=key_id,
        name=name,
        hash=digest(key),
        scopes=tuple(dict.fromkeys(scopes)),
        created=now,
        expires=None if days is None else now + days * SECONDS_PER_DAY,
    )
    with _locked(path):
        keys = _read(path)
        if len(keys) >= MAX_KEYS:
            raise ValueError(f"{path} holds {MAX_KEYS} keys, which is the limit: revoke some")
        _write(path, [*keys.values(), kept])
    return key, kept


def list_keys(path: Path) -> list[ApiKey]:
    """Return what a file keeps of its keys, in the order in which they were made.

    Raises
    ------
    ValueError
        The file is not a file of API keys.
    OSError
        It cannot be read.
    """
    return list(_read(path).values())


def revoke_key(path: Path, key_id: str) -> bool:
    """Remove a key from a file; return whether it was there. Safe beside other writers.

    Raises
    ------
    ValueError
        The file is not a file of API keys.
    OSError
        It cannot be read or written.
    """
    with _locked(path):
        keys = _read(path)
        if keys.pop(key_id, None) is None:
            return False
        _write(path, list(keys.values()))
    return True


def _read(path: Path) -> dict[str, ApiKey]:
    try:
        return read_keys(path)[0]
    except FileNotFoundError:
        return {}


def _write(path: Path, keys: list[ApiKey]) -> None:
    data = msgspec.json.format(msgspec.json.encode(KeyFile(keys, format=1)), indent=1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{path} would be longer than {MAX_FILE_BYTES} bytes: revoke some keys")
    # mkstemp creates it with mode 0600, so nobody else can ever read it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
