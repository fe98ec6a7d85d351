"""The issuer's public keys: from a file or a URL, fetched again when they are old or unknown.

`jwt.PyJWKClient` cannot take its place: while the issuer is down it fetches again for every token,
each caller waits in a thread of its own, and keys are renewed only after they have expired.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from jwt import PyJWK

from kaizen_nexus.access.errors import AuthenticationUnavailableError
from kaizen_nexus.access.settings import ALGORITHMS, JwtSettings

__all__ = ["IssuerKeys", "PublicKey"]

MAX_BYTES = 512 * 1024
CHUNK = 64 * 1024
MAX_KEYS = 100
_USABLE = frozenset(ALGORITHMS.values())

logger = logging.getLogger("kaizen_nexus.access")


@dataclass(frozen=True)
class PublicKey:
    """One of the issuer's keys."""

    kind: str
    """``"RSA"``, ``"EC"`` or ``"OKP"``."""
    algorithm: str | None
    """The only algorithm that it may be used with; None if its issuer names none."""
    key: Any
    """What PyJWT checks signatures with."""


class IssuerKeys:
    """Public keys by their ids.

    They are fetched in a thread, once for all callers that wait. Keys of a URL expire if they
    cannot be fetched again in time: a key that its issuer has withdrawn must not be trusted for
    ever.

    Parameters
    ----------
    settings
        Where the keys are, and for how long they are trusted.
    clock
        Monotonic seconds.

    Raises
    ------
    OSError, ValueError
        The file of keys cannot be read, or holds no usable key.
    """

    def __init__(
        self, settings: JwtSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: Mapping[str | None, PublicKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self._source = settings.url or Path(settings.jwks)
        if settings.url is None:
            self._keys = _parse(_read(self._source, settings.timeout))
            self._fetched = self._tried = clock()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Return the key with this id, or None if there is none.

        Without an id it is the only key, if there is exactly one.

        Raises
        ------
        AuthenticationUnavailableError
            The keys cannot be fetched, so there is no telling whether the key exists.
        """
        age = self._age(self._fetched)
        lifetime = self._settings.refresh_seconds
        if age >= lifetime and self._settings.url is not None:
            await self._refresh()
            if self._age(self._fetched) >= lifetime:
                raise AuthenticationUnavailableError
        elif age >= lifetime / 2:
            self._begin()  # the present keys serve meanwhile
        key = self._known(key_id)
        if key is None:
            await self._refresh()
            key = self._known(key_id)
            if key is None and self._failed:
                raise AuthenticationUnavailableError
        return key

    def _known(self, key_id: str | None) -> PublicKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return None if key_id is None else self._keys.get(key_id)

    def _age(self, since: float | None) -> float:
        return float("inf") if since is None else self._clock() - since

    async def _refresh(self) -> None:
        """Wait until the keys have been fetched, unless that was tried `retry_seconds` ago."""
        task = self._begin()
        if task is not None:
            # Other callers wait for it, too: one that gives up must not cancel it.
            await asyncio.shield(task)

    def _begin(self) -> asyncio.Task[None] | None:
        loop = asyncio.get_running_loop()
        running = self._fetching
        if running is not None and not running.done() and running.get_loop() is loop:
            return running
        settings = self._settings
        if self._age(self._tried) < min(settings.retry_seconds, settings.refresh_seconds / 2):
            return None
        self._tried = self._clock()
        self._fetching = loop.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        settings = self._settings
        try:
            # This alone bounds name resolution, and headers that come byte by byte.
            with anyio.fail_after(settings.timeout):
                data = await to_thread.run_sync(
                    _read, self._source, settings.timeout, abandon_on_cancel=True
                )
            self._keys = _parse(data)
        except Exception as error:  # an answer that others send may fail in any way
            self._failed = True
            logger.warning("cannot fetch the issuer's keys: %s", type(error).__name__)
        else:
            self._failed = False
            self._fetched = self._clock()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it could lead to a URL that is not encrypted."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request to follow with."""


def _read(source: str | Path, timeout: float) -> bytes:
    """Return what a file holds or a URL answers, up to one byte more than is allowed."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    deadline = time.monotonic() + timeout
    opener = urllib.request.build_opener(_NoRedirects)
    data = bytearray()
    try:
        with opener.open(source, timeout=timeout) as answer:
            # The socket's own timeout is for each read: an answer may come byte by byte.
            while len(data) <= MAX_BYTES and (part := answer.read1(CHUNK)):
                if time.monotonic() > deadline:
                    raise TimeoutError
                data += part
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return bytes(data)


def _parse(data: bytes) -> dict[str | None, PublicKey]:
    """Return the keys of a JWK set that can verify signatures, by their ids.

    Raises
    ------
    ValueError
        The set is malformed or too long, or has no usable key.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the issuer's key set is longer than {MAX_BYTES} bytes")
    document = json.loads(data)
    items = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) > MAX_KEYS:
        raise ValueError(f"this is not a JWK set of at most {MAX_KEYS} keys")
    keys = {}
    for item in items:
        # Neither shared secrets ("oct") nor keys for encryption verify signatures.
        if isinstance(item, dict) and item.get("kty") in _USABLE and item.get("use") != "enc":
            try:
                key = PyJWK.from_dict(item).key
                keys[item.get("kid")] = PublicKey(item["kty"], item.get("alg"), key)
            except Exception:  # PyJWT raises several kinds of error
                logger.info("the issuer publishes a key that PyJWT does not support")
    if not keys:
        raise ValueError("the JWK set has no public key that can verify a signature")
    return keys
