"""API keys: the file of their hashes, as a running server reads it."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.access.policy import granted

__all__ = [
    "KEY_PREFIX",
    "ApiKey",
    "KeyFile",
    "KeyFileError",
    "KeyStore",
    "default_key_file",
    "digest",
    "read_keys",
]

KEY_PREFIX = "kn_"
MAX_FILE_BYTES = 4 * 1024 * 1024
CHECK_SECONDS = 1.0
"""The least time between two looks for changes of the file."""
_KEY = re.compile(r"kn_(?P<id>[0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_UNKNOWN = "0" * 64
_Stamp = tuple[int, int, int]

logger = logging.getLogger("kaizen_nexus.access")


class KeyFileError(ValueError):
    """The file is not a file of API keys."""


@dataclass(frozen=True)
class ApiKey:
    """What the file keeps of a key."""

    id: str
    """The public part of the key, by which it is found, listed and revoked."""
    name: str
    """The owner; all keys with the same name belong to one user."""
    hash: str
    """SHA-256 of the whole key, in hexadecimal."""
    scopes: tuple[str, ...]
    created: float
    """Seconds since the epoch."""
    expires: float | None = None
    """Seconds since the epoch; None for never."""


class KeyFile(msgspec.Struct):
    """The JSON document in a file of API keys."""

    keys: list[ApiKey]
    format: Literal[1]


def default_key_file() -> Path:
    """Return ``$KAIZEN_NEXUS_KEYS``, or ``nexus-keys.json`` in the current folder."""
    return Path(os.environ.get("KAIZEN_NEXUS_KEYS") or "nexus-keys.json").absolute()


def digest(key: str) -> str:
    """Return the hash that is kept in place of a key.

    A fast hash without salt is enough: a key has 256 random bits, which neither a table of hashes
    nor guessing can find. Slow, salted hashes are for passwords that people choose.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> tuple[dict[str, ApiKey], _Stamp]:
    """Return a file's keys by id, and a stamp that changes when the file does.

    Raises
    ------
    OSError
        It cannot be read.
    KeyFileError
        It is not a file of API keys.
    """
    with path.open("rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(f"{path} is longer than {MAX_FILE_BYTES} bytes")
    try:
        keys = msgspec.json.decode(data, type=KeyFile).keys
    except (msgspec.DecodeError, RecursionError):
        # The cause is not shown, either: it may quote the file.
        raise KeyFileError(f"{path} is not a file that 'nexus keys' wrote") from None
    return {key.id: key for key in keys}, stamp


class KeyStore:
    """The keys of a file, which is read again when it has changed.

    If the file is missing or cannot be read, every key is refused. Thread-safe.

    Parameters
    ----------
    path
        The file.
    clock
        Monotonic seconds.
    wall_clock
        Seconds since the epoch, for the expiry of keys.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, tuple[ApiKey, Caller]] = {}
        self._stamp: _Stamp | None = None
        self._complaint = ""
        self._checked = clock()
        self._load()

    def find(self, key: str) -> Caller | None:
        """Return the caller whose key it is, or None if it is unknown, revoked or expired."""
        match = _KEY.fullmatch(key)
        known = self._current().get(match["id"]) if match else None
        # An unknown id takes as long as a known one with the wrong secret.
        expected = _UNKNOWN if known is None else known[0].hash
        if not hmac.compare_digest(digest(key).encode(), expected.encode()) or known is None:
            return None
        kept, caller = known
        return caller if kept.expires is None or self._wall_clock() < kept.expires else None

    def _current(self) -> Mapping[str, tuple[ApiKey, Caller]]:
        now = self._clock()
        with self._lock:
            if now - self._checked < CHECK_SECONDS:
                return self._keys
            self._checked = now
            try:
                changed = _stamp(self.path.stat()) != self._stamp
            except OSError:
                changed = True
            if changed:
                self._load()
            return self._keys

    def _load(self) -> None:
        try:
            keys, self._stamp = read_keys(self.path)
            self._keys = {key.id: (key, _owner(key)) for key in keys.values()}
            complaint = "" if self._keys else f"{self.path} holds no keys"
        except (OSError, KeyFileError) as error:
            self._keys, self._stamp = {}, None
            missing = isinstance(error, FileNotFoundError)
            complaint = f"{self.path} does not exist" if missing else str(error)
        if complaint and complaint != self._complaint:
            logger.warning(
                "%s, so every API key is refused: "
                "'nexus keys create --name NAME --scope WORKFLOW' makes one",
                complaint,
            )
        self._complaint = complaint


def _owner(key: ApiKey) -> Caller:
    # No token's subject may begin with "key:", so no issuer can name a key's owner.
    return Caller(f"key:{key.name}", granted(key.scopes), authenticated=True)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
