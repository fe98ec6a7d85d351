"""The issuer's public keys: from a file or a URL, fetched again when they are old or unknown."""

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
    """The only one that it is for, if its issuer says so."""
    key: Any
    """What PyJWT checks signatures with."""


class IssuerKeys:
    """Public keys by their ids.

    They are fetched in a thread, once for all who wait. Keys of a URL that cannot be had again in
    time are forgotten: one that its issuer has withdrawn must not open the door for ever.

    Parameters
    ----------
    settings
        Where the keys are, and for how long they are believed.
    clock
        Monotonic seconds.

    Raises
    ------
    OSError, ValueError
        They are in a file, and it cannot be read or holds none.
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
        if settings.url is None:
            self._keys = _parse(_read_file(Path(settings.jwks)))
            self._fetched = self._tried = clock()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Return the key of an id, or of a token without one the only key; None if it is unknown.

        Raises
        ------
        AuthenticationUnavailableError
            The keys cannot be fetched, so it is not known whether there is one.
        """
        age = self._age(self._fetched)
        lifetime = self._settings.refresh_seconds
        if age >= lifetime and self._settings.url is not None:
            await self._refresh()
            if self._age(self._fetched) >= lifetime:
                raise AuthenticationUnavailableError
        elif age >= lifetime / 2:
            self._begin()  # and meanwhile go on with those that are there
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
        """Wait until the keys have been fetched, unless that has been tried a moment ago."""
        task = self._begin()
        if task is not None:
            # Others wait for it, too: whoever gives up does not end it.
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
            # Name resolution and a head that comes byte by byte are bounded by this alone.
            with anyio.fail_after(settings.timeout):
                if settings.url is None:
                    data = await to_thread.run_sync(_read_file, Path(settings.jwks))
                else:
                    data = await to_thread.run_sync(
                        _read_url, settings.url, settings.timeout, abandon_on_cancel=True
                    )
            self._keys = _parse(data)
        except Exception as error:  # whatever goes wrong with what others send
            self._failed = True
            logger.warning("the issuer's keys cannot be had: %s", type(error).__name__)
        else:
            self._failed = False
            self._fetched = self._clock()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys are where the settings say; a redirect could lead to a place that is not encrypted."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request to follow with."""


def _read_url(url: str, timeout: float) -> bytes:
    """Return what is published at `url`, in good time, however little of it comes at once."""
    deadline = time.monotonic() + timeout
    opener = urllib.request.build_opener(_NoRedirects)
    data = bytearray()
    try:
        with opener.open(url, timeout=timeout) as answer:
            while len(data) <= MAX_BYTES and (part := answer.read1(CHUNK)):
                if time.monotonic() > deadline:
                    raise TimeoutError
                data += part
    except urllib.error.HTTPError as error:
        error.close()
        raise
    return bytes(data)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _parse(data: bytes) -> dict[str | None, PublicKey]:
    """Return the keys of a JWK set that signatures can be checked with.

    Raises
    ------
    ValueError
        There are none, or the set is too long.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the issuer's keys are longer than {MAX_BYTES} bytes")
    document = json.loads(data)
    items = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) > MAX_KEYS:
        raise ValueError(f"this is no JWK set of at most {MAX_KEYS} keys")
    keys = {}
    for item in items:
        # Not a secret that both sides know ("oct"), nor one that is to encrypt with.
        if isinstance(item, dict) and item.get("kty") in _USABLE and item.get("use") != "enc":
            try:
                key = PyJWK.from_dict(item).key
                keys[item.get("kid")] = PublicKey(item["kty"], item.get("alg"), key)
            except Exception:  # of a kind that is not known here
                logger.info("a key of the issuer's is of a kind that is not known here")
    if not keys:
        raise ValueError("the JWK set has no public key that a signature can be checked with")
    return keys
