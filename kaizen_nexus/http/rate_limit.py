"""How often a caller may ask: fixed windows of the ``limits`` library, kept in bounded memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.access.callers import ANONYMOUS
from kaizen_nexus.http.client_address import address_group
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.problems import problem_response

try:
    from limits import RateLimitItem, parse_many
    from limits.storage import Storage
    from limits.strategies import FixedWindowRateLimiter
except ModuleNotFoundError as error:
    missing_extra("rate_limit", "serve", error)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RateLimit", "WindowStorage", "parse_rate_limit"]

MAX_WINDOWS = 65_536
EXEMPT = frozenset({"/health/live", "/health/ready"})


class WindowStorage(Storage):
    """Counts within windows, of which it keeps the most recent ones; for one thread.

    The library's own storage in memory starts a thread to look through all of its keys, follows
    the wall clock, and keeps as many keys as there are callers.

    Parameters
    ----------
    clock
        Seconds that never go back.
    capacity
        How many windows are kept; beyond it those that are over are forgotten, else the one that
        began first.
    """

    STORAGE_SCHEME = None

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, capacity: int = MAX_WINDOWS
    ) -> None:
        super().__init__()
        self.forgotten = 0
        """Windows that were dropped before their end."""
        self._clock = clock
        self._capacity = capacity
        # By their length: of equally long ones, the first to begin is the first to end.
        self._windows: dict[float, OrderedDict[str, tuple[int, float]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    @property
    def base_exceptions(self) -> type[Exception]:
        """What this storage raises: nothing that needs a name."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count `amount` in the window of `key`, which lasts `expiry` seconds if it is new."""
        windows = self._windows.setdefault(expiry, OrderedDict())
        count, end = windows.get(key, (0, 0.0))
        now = self._clock()
        if end <= now:
            windows.pop(key, None)
            self._make_room(now)
            count, end = 0, now + expiry
        windows[key] = (count + amount, end)
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of a key's window."""
        count, end = self._window(key)
        return count if end > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when a key's window ends, by the storage's clock."""
        return max(self._clock(), self._window(key)[1])

    def check(self) -> bool:
        """Return whether the storage works."""
        return True

    def reset(self) -> int:
        """Forget everything, and return how much that was."""
        number = len(self)
        self._windows.clear()
        return number

    def clear(self, key: str) -> None:
        """Forget a key."""
        for windows in self._windows.values():
            windows.pop(key, None)

    def _window(self, key: str) -> tuple[int, float]:
        for windows in self._windows.values():
            if key in windows:
                return windows[key]
        return 0, 0.0

    def _make_room(self, now: float) -> None:
        began_first: tuple[float, OrderedDict[str, tuple[int, float]]] | None = None
        for length, windows in self._windows.items():
            while windows:
                key, (_, end) = next(iter(windows.items()))
                if end > now:
                    if began_first is None or end - length < began_first[0]:
                        began_first = (end - length, windows)
                    break
                del windows[key]
        if began_first is not None and len(self) >= self._capacity:
            began_first[1].popitem(last=False)
            self.forgotten += 1


class RateLimit:
    """ASGI middleware that answers 429 to who asks too often.

    A caller is who it is known to be, else its address; an IPv6 client has 64 bits of addresses to
    choose from, so they count as one. Health checks are free.

    Parameters
    ----------
    app
        What answers the others.
    limits
        What `parse_rate_limit` returns; all of them hold.
    storage
        Where requests are counted.
    clock
        The storage's clock.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: list[RateLimitItem],
        storage: WindowStorage | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._limits = limits
        self._clock = clock
        self._limiter = FixedWindowRateLimiter(storage or WindowStorage(clock))
        policies = (f'"{_name(i)}";q={i.amount};w={i.get_expiry()}' for i in limits)
        self._policy = (b"ratelimit-policy", ", ".join(policies).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        await self.let(self._app, scope, receive, send)

    async def let(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let another app answer, if its caller has not asked too often by now."""
        if scope["type"] != "http" or self._is_exempt(scope):
            await app(scope, receive, send)
            return
        key = _key(scope)
        exceeded = [limit for limit in self._limits if not self._limiter.test(limit, key)]
        if not exceeded:
            for limit in self._limits:
                self._limiter.hit(limit, key)
        headers = [self._policy, (b"ratelimit", self._state(key))]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        if exceeded:
            wait = max(self._remaining_time(limit, key) for limit in exceeded)
            refusal = problem_response(
                429,
                slug="rate-limited",
                detail=f"more requests than {' and '.join(str(limit) for limit in exceeded)}: "
                f"the next one is answered in {wait} s",
                headers={"Retry-After": str(wait)},
            )
            await refusal(scope, receive, send_with_headers)
            return
        await app(scope, receive, send_with_headers)

    @staticmethod
    def _is_exempt(scope: Scope) -> bool:
        return scope["path"].removeprefix(scope.get("root_path", "")) in EXEMPT

    def _remaining_time(self, limit: RateLimitItem, key: str) -> int:
        """Return the seconds until a caller's window ends."""
        end = self._limiter.get_window_stats(limit, key).reset_time
        return max(1, math.ceil(end - self._clock()))

    def _state(self, key: str) -> bytes:
        states = (
            f'"{_name(limit)}";r={self._limiter.get_window_stats(limit, key).remaining}'
            f";t={self._remaining_time(limit, key)}"
            for limit in self._limits
        )
        return ", ".join(states).encode()


def _key(scope: Scope) -> str:
    caller = caller_of(scope)
    if caller is ANONYMOUS:
        return f"address:{address_group(scope)}"
    return f"caller:{caller.id}"


def _name(limit: RateLimitItem) -> str:
    """Return what a limit is called in headers: ``minute``, or ``5-minute``."""
    name = limit.GRANULARITY.name
    return name if limit.multiples == 1 else f"{limit.multiples}-{name}"


def parse_rate_limit(rate_limit: int | str) -> list[RateLimitItem]:
    """Return the limits that a setting names.

    Parameters
    ----------
    rate_limit
        Requests per minute, or one or several limits such as ``"100/minute;10/second"``.

    Raises
    ------
    TypeError, ValueError
        It is nothing of the kind.
    """
    if isinstance(rate_limit, bool) or not isinstance(rate_limit, (int, str)):
        raise TypeError(f"rate_limit must be a number or a string, not {rate_limit!r}")
    text = f"{rate_limit}/minute" if isinstance(rate_limit, int) else rate_limit
    try:
        limits = parse_many(text)
    except ValueError:
        limits = []
    if not limits or any(limit.amount < 1 or limit.multiples < 1 for limit in limits):
        raise ValueError(
            f"rate_limit: {rate_limit!r} is no number of requests per minute, and no limits such "
            "as '100/minute;10/second'"
        )
    return limits
