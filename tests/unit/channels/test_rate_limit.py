"""Counting requests, by a clock that the tests set."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.http.client_address import TrustedProxies, address_group
from kaizen_nexus.http.credentials import sent_by
from kaizen_nexus.http.rate_limit import Rate, RateLimit, RateLimiter, parse_rate_limit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the client's address."""
    body = str(scope["client"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": body})


def ask(
    app: Any, client: Any = ("192.0.2.1", 5000), path: str = "/", caller: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": raw, "client": client}
    if caller:
        scope = dict(sent_by(Caller(caller), scope))
    asyncio.run(app(scope, None, send))
    return (
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        sent[1]["body"],
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limited(rate_limit: int | str, clock: Clock) -> RateLimit:
    return RateLimit(answering, RateLimiter(parse_rate_limit(rate_limit), clock))


def test_a_request_too_many_is_429_until_the_window_ends(clock: Clock) -> None:
    app = limited(3, clock)
    for left in (2, 1, 0):
        status, headers, _ = ask(app)
        assert (status, headers["ratelimit"]) == (200, f'"minute";r={left};t=60')
        assert headers["ratelimit-policy"] == '"minute";q=3;w=60'
    clock.now += 39.5
    status, headers, body = ask(app)
    assert (status, headers["retry-after"]) == (429, "21")
    assert headers["ratelimit"] == '"minute";r=0;t=21'
    assert b"urn:kaizen-nexus:problem:rate-limited" in body
    clock.now += 20.5
    assert ask(app)[0] == 200


def test_all_of_several_limits_hold_and_refused_requests_use_up_none(clock: Clock) -> None:
    app = limited("5/minute;2/second", clock)
    assert [ask(app)[0] for _ in range(4)] == [200, 200, 429, 429]
    clock.now += 1
    status, headers, _ = ask(app)
    assert (status, headers["ratelimit"]) == (200, '"minute";r=2;t=59, "second";r=1;t=1')
    clock.now += 1
    assert [ask(app)[0] for _ in range(3)] == [200, 200, 429]
    clock.now += 1
    assert ask(app)[1]["retry-after"] == "57"


def test_callers_are_counted_apart_by_name_before_address(clock: Clock) -> None:
    app = limited(1, clock)
    assert [ask(app, caller="ada")[0], ask(app, caller="bob")[0], ask(app)[0]] == [200] * 3
    assert ask(app, client=("192.0.2.2", 1), caller="ada")[0] == 429
    assert ask(app, client=("192.0.2.2", 1))[0] == 200
    assert ask(app, client=("192.0.2.1", 1))[0] == 429
    assert ask(app, client=None)[0] == 200
    assert ask(app, client=None)[0] == 429


def test_nobody_is_a_caller_by_calling_itself_an_address(clock: Clock) -> None:
    app = limited(1, clock)
    assert ask(app)[0] == 200
    assert ask(app, caller="address:192.0.2.1")[0] == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_free(clock: Clock, path: str) -> None:
    app = limited(1, clock)
    assert [ask(app, path=path)[0] for _ in range(5)] == [200] * 5
    assert "ratelimit" not in ask(app, path=path)[1]


def test_callers_are_bounded(clock: Clock) -> None:
    limiter = RateLimiter(parse_rate_limit("5/minute;2/second"), clock, capacity=100)
    for number in range(100):
        limiter.take(f"caller {number}")
    assert (len(limiter), limiter.forgotten) == (100, 0)
    for number in range(1000):
        limiter.take(f"other {number}")
    assert (len(limiter), limiter.forgotten) == (100, 1000)
    clock.now += 60
    limiter.take("another")
    assert (len(limiter), limiter.forgotten) == (1, 1000)


def test_the_caller_whose_longest_window_began_first_makes_room(clock: Clock) -> None:
    limiter = RateLimiter(parse_rate_limit("1/second;2/minute"), clock, capacity=2)
    limiter.take("ada")
    clock.now += 30
    limiter.take("bob")
    clock.now += 25
    limiter.take("ada")
    clock.now += 5
    assert limiter.take("ada").refusal is None, "her minute is over, and another begins"
    limiter.take("cyd")
    assert (len(limiter), limiter.forgotten) == (2, 1)
    assert limiter.take("ada").refusal is not None, "bob was forgotten, whose minute began first"


def test_a_short_window_outlasts_the_end_of_a_long_one(clock: Clock) -> None:
    limiter = RateLimiter(parse_rate_limit("4/2 minutes;1/10 seconds"), clock)
    limiter.take("ada")
    clock.now += 115
    assert limiter.take("ada").refusal is None
    clock.now += 6
    limiter.take("bob")
    assert limiter.take("ada").refusal is not None


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 40)), max_size=60),
    st.sampled_from(["1/second", "3/minute", "2/second;3/minute", "4/2 minutes;1/10 seconds"]),
)
def test_no_window_holds_more_than_its_rate(steps: list[tuple[str, float]], text: str) -> None:
    clock = Clock()
    rates = parse_rate_limit(text)
    limiter = RateLimiter(rates, clock)
    began: dict[tuple[str, Rate], list[float]] = {}
    for key, pause in steps:
        clock.now += pause
        fresh = [
            rate
            for rate in rates
            if not (times := began.get((key, rate))) or times[0] + rate.seconds <= clock.now
        ]
        full = [r for r in rates if r not in fresh and len(began[key, r]) >= r.amount]
        assert (limiter.take(key).refusal is not None) is bool(full)
        for rate in () if full else rates:
            if rate in fresh:
                began[key, rate] = []
            began[key, rate].append(clock.now)


@pytest.mark.parametrize(
    "rate_limit",
    [
        0,
        -1,
        True,
        1.5,
        "",
        "x",
        "0/minute",
        "10",
        "10/fortnight",
        "10/minute;",
        "10/0 minutes",
        None,
    ],
)
def test_what_is_no_limit_is_refused(rate_limit: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="rate_limit"):
        parse_rate_limit(rate_limit)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        (7, [(7, 60, "minute")]),
        ("100/minute;10/second", [(100, 60, "minute"), (10, 1, "second")]),
        ("5 per 2 hours, 9/day", [(5, 7_200, "2-hour"), (9, 86_400, "day")]),
    ],
)
def test_rates_are_read(text: int | str, rates: list[tuple[int, int, str]]) -> None:
    assert list(parse_rate_limit(text)) == rates


PROXY = ("10.0.0.1", 1)


@pytest.mark.parametrize(
    ("sender", "forwarded", "client"),
    [
        (PROXY, "203.0.113.5", "203.0.113.5"),
        (PROXY, "1.2.3.4, 203.0.113.5", "203.0.113.5"),
        (PROXY, "1.2.3.4, 203.0.113.5, 10.9.9.9", "203.0.113.5"),
        (PROXY, "10.3.3.3,10.2.2.2", "10.3.3.3"),
        (PROXY, "203.0.113.5:4711", "203.0.113.5"),
        (PROXY, "[2001:db8::5]:4711", "2001:db8::5"),
        (PROXY, "2001:db8::5", "2001:db8::5"),
        (PROXY, "::ffff:203.0.113.5", "203.0.113.5"),
        (PROXY, "1.2.3.4, nonsense", "10.0.0.1"),
        (PROXY, "nonsense, 10.2.2.2", "10.2.2.2"),
        (PROXY, "", "10.0.0.1"),
        (PROXY, "1.2.3.4," * 1000 + "203.0.113.5", "203.0.113.5"),
        (("::ffff:10.0.0.1", 1), "203.0.113.5", "203.0.113.5"),
        (("192.0.2.1", 1), "203.0.113.5", "192.0.2.1"),
        (("11.0.0.1", 1), "10.0.0.1", "11.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_who_the_client_is(sender: Any, forwarded: str, client: str) -> None:
    app = TrustedProxies(answering, ["10.0.0.0/8", "2001:db8:1::/48"])
    _, _, body = ask(app, client=sender, x_forwarded_for=forwarded)
    assert body.startswith(f"('{client}'".encode())


def test_unix_sockets_are_trusted_when_that_is_said() -> None:
    for networks, client in ((["unix"], b"('203.0.113.5', 0)"), (["10.0.0.1"], b"None")):
        app = TrustedProxies(answering, networks)
        assert ask(app, client=None, x_forwarded_for="203.0.113.5")[2] == client


@pytest.mark.parametrize("network", ["", "10.0.0.1/8", "proxy.example.com", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        TrustedProxies(answering, [network])


@pytest.mark.parametrize(
    ("client", "group"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "local"),
        (None, "local"),
    ],
)
def test_a_client_cannot_choose_among_its_addresses(client: Any, group: str) -> None:
    assert address_group(client) == group
