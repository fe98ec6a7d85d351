"""How often a caller may ask: fixed windows that begin with a caller's first request."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kaizen_nexus.access.callers import ANONYMOUS, Caller
from kaizen_nexus.http.client_address import address_group
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.problems import problem_response

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "Rate",
    "RateLimit",
    "RateLimiter",
    "Taken",
    "counted_by",
    "parse_rate_limit",
    "rate_key",
]

MAX_CALLERS = 65_536
EXEMPT = frozenset({"/health/live", "/health/ready"})
_TAKEN = "kaizen_nexus.taken"
_RATE = re.compile(
    r"(?P<amount>\d{1,9})\s*(?:/|\s*per\s)\s*(?:(?P<multiple>\d{1,4})\s*)?"
    r"(?P<unit>second|minute|hour|day|month|year)s?",
    re.IGNORECASE | re.ASCII,
)
_DAY = 86_400
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": _DAY,
    "month": 30 * _DAY,
    "year": 360 * _DAY,
}


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    amount: int
    seconds: int
    name: str
    """What headers call it: ``minute``, or ``5-minute``."""


class Taken(NamedTuple):
    """What came of asking for one request more."""

    headers: tuple[tuple[bytes, bytes], ...]
    """``RateLimit-Policy`` and ``RateLimit``, for whatever is answered."""
    refusal: Response | None
    """The answer instead, if the caller asked too often; without `headers`."""


class _Window:
    """One caller's requests under one rate, until the window ends."""

    __slots__ = ("amount", "count", "end", "rate", "state")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.amount = rate.amount
        self.state = f'"{rate.name}"'
        self.count = 0
        self.end = -math.inf

    def is_full(self, now: float) -> bool:
        """Whether it takes no further request."""
        return self.count >= self.amount and self.end > now

    def add(self, now: float) -> None:
        """Count a request, in a new window if this one has ended."""
        if self.end <= now:
            self.count, self.end = 0, now + self.rate.seconds
        self.count += 1

    def state_at(self, now: float) -> str:
        """Return what ``RateLimit`` says of it."""
        if self.end <= now:
            return f"{self.state};r={self.amount};t=1"
        return f"{self.state};r={self.amount - self.count};t={math.ceil(self.end - now)}"


class RateLimiter:
    """Counts the requests of each caller; for one thread.

    Takes constant time a request. A new caller beyond the capacity replaces the one whose longest
    window began first.

    Parameters
    ----------
    rates
        What `parse_rate_limit` returns; all of them hold.
    clock
        Seconds that never go back.
    capacity
        How many callers are remembered.
    """

    def __init__(
        self,
        rates: Sequence[Rate],
        clock: Callable[[], float] = time.monotonic,
        capacity: int = MAX_CALLERS,
    ) -> None:
        self.forgotten = 0
        """Callers that were dropped before the end of their windows."""
        self._rates = tuple(rates)
        self._clock = clock
        self._capacity = capacity
        # In the order in which the longest windows begin, which is that in which they end.
        self._callers: dict[str, tuple[_Window, ...]] = {}
        self._longest = max(range(len(rates)), key=lambda index: rates[index].seconds)
        policies = (f'"{rate.name}";q={rate.amount};w={rate.seconds}' for rate in rates)
        self._policy = (b"ratelimit-policy", ", ".join(policies).encode())

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return len(self._callers)

    def take(self, key: str) -> Taken:
        """Count one request of a caller, unless that is one too many.

        Parameters
        ----------
        key
            What the caller is known by; see `rate_key`.
        """
        now = self._clock()
        windows = self._windows(key, now)
        exceeded = [window for window in windows if window.is_full(now)]
        refusal = None
        if exceeded:
            refusal = _refusal(exceeded, now)
        else:
            for window in windows:
                window.add(now)
        state = ", ".join([window.state_at(now) for window in windows])
        return Taken((self._policy, (b"ratelimit", state.encode())), refusal)

    def _windows(self, key: str, now: float) -> tuple[_Window, ...]:
        windows = self._callers.get(key)
        if windows is not None and windows[self._longest].end > now:
            return windows
        # The longest window begins again: the caller moves to the end of the order.
        if windows is None:
            windows = tuple(map(_Window, self._rates))
        else:
            del self._callers[key]
        self._make_room(now)
        self._callers[key] = windows
        return windows

    def _make_room(self, now: float) -> None:
        while self._callers:
            first = next(iter(self._callers))
            if any(window.end > now for window in self._callers[first]):
                if len(self._callers) < self._capacity:
                    return
                self.forgotten += 1
            del self._callers[first]


class RateLimit:
    """ASGI middleware that answers 429 to callers that ask too often.

    A caller is counted by its name or, without authentication, by its address. An IPv6 client has
    64 bits of addresses to choose from, so they count as one. Health checks do not count.

    Parameters
    ----------
    app
        What answers the others.
    limiter
        What counts the requests.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        await self.let(self._app, scope, receive, send)

    async def let(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let another app answer, if its caller has not asked too often by now."""
        if scope["type"] != "http" or self._is_exempt(scope):
            await app(scope, receive, send)
            return
        headers, refusal = scope.get(_TAKEN) or self.take(caller_of(scope), scope.get("client"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await (refusal or app)(scope, receive, send_with_headers)

    def take(self, caller: Caller, client: tuple[str, int] | None) -> Taken:
        """Count one request of `caller`, sent from the address `client`."""
        return self._limiter.take(rate_key(caller, client))

    @staticmethod
    def _is_exempt(scope: Scope) -> bool:
        return scope["path"].removeprefix(scope.get("root_path", "")) in EXEMPT


def counted_by(taken: Taken, scope: Scope) -> None:
    """Note in an ASGI scope that its request has been counted, for `RateLimit`."""
    scope[_TAKEN] = taken


def rate_key(caller: Caller, client: tuple[str, int] | None) -> str:
    """Return what a caller is counted by: its name, or its address without authentication.

    Parameters
    ----------
    caller
        Who sent the request.
    client
        The address that it came from, as in an ASGI scope.
    """
    if caller is ANONYMOUS:
        return f"address:{address_group(client)}"
    return f"caller:{caller.id}"


def _refusal(exceeded: Sequence[_Window], now: float) -> Response:
    rates = " and ".join(
        f"{each.amount} per {each.rate.name.replace('-', ' ')}" for each in exceeded
    )
    wait = max(math.ceil(window.end - now) for window in exceeded)
    return problem_response(
        429,
        slug="rate-limited",
        detail=f"more requests than {rates}: the next one is answered in {wait} s",
        headers={"Retry-After": str(wait)},
    )


def parse_rate_limit(rate_limit: int | str) -> tuple[Rate, ...]:
    """Return the rates that a setting names.

    Parameters
    ----------
    rate_limit
        Requests per minute, or one or several rates such as ``"100/minute;10/second"``.

    Raises
    ------
    TypeError, ValueError
        It is nothing of the kind.
    """
    if isinstance(rate_limit, bool) or not isinstance(rate_limit, (int, str)):
        raise TypeError(f"rate_limit must be a number or a string, not {rate_limit!r}")
    text = f"{rate_limit}/minute" if isinstance(rate_limit, int) else rate_limit
    rates = []
    for part in re.split("[;,|]", text):
        found = _RATE.fullmatch(part.strip())
        amount, multiple = (int(found["amount"]), int(found["multiple"] or 1)) if found else (0, 0)
        if found is None or amount < 1 or multiple < 1:
            raise ValueError(
                f"rate_limit: {rate_limit!r} is neither a number of requests per minute nor rates "
                "such as '100/minute;10/second'"
            )
        unit = found["unit"].lower()
        name = unit if multiple == 1 else f"{multiple}-{unit}"
        rates.append(Rate(amount, multiple * _SECONDS[unit], name))
    return tuple(rates)
