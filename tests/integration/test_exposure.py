"""An app that asks nobody who they are keeps to its own machine."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from kaizen_nexus import Nexus
from kaizen_nexus.http.server.serving import ExposedError

EVERYWHERE = ["0.0.0.0", "::", "", "::ffff:0.0.0.0"]  # noqa: S104  # refused, or for one test
LOCAL = ["127.0.0.1", "127.8.8.8", "localhost", "::1"]


def own_address() -> str:
    """Return the address by which others reach this machine; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its own")
        return str(probe.getsockname()[0])


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus(api_port=0)
    yield app
    app.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def listen(app: Nexus, host: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("no IPv6 here")
    app.host = host
    app.start(blocking=False)


@pytest.mark.parametrize("host", EVERYWHERE)
def test_every_address_at_once_is_refused(app: Nexus, host: str) -> None:
    with pytest.raises(ExposedError, match=r"without authentication.*insecure=True"):
        listen(app, host)


def test_an_address_of_the_network_is_refused(app: Nexus) -> None:
    with pytest.raises(ExposedError):
        listen(app, own_address())


@pytest.mark.parametrize("host", LOCAL)
def test_an_address_of_the_machine_alone_is_not(app: Nexus, host: str) -> None:
    listen(app, host)
    with urllib.request.urlopen(f"{app.url}/health/live", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200


def test_a_second_port_is_refused_likewise_and_the_first_one_freed() -> None:
    app = Nexus(api_port=0, mcp_port=0, host="0.0.0.0")  # noqa: S104  # refused
    with pytest.raises(ExposedError):
        app.start(blocking=False)
    app.host = "127.0.0.1"
    app.start(blocking=False)
    app.close()


@pytest.mark.parametrize("host", EVERYWHERE)
def test_insecure_accepts_any(host: str) -> None:
    app = Nexus(api_port=0, insecure=True)
    try:
        listen(app, host)
        url = f"http://127.0.0.1:{app.api_port}/health/live"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
    finally:
        app.close()


def test_hosts_and_origins_can_be_allowed_later(app: Nexus) -> None:
    listen(app, "127.0.0.1")

    def status() -> int:
        request = urllib.request.Request(  # noqa: S310
            f"{app.url}/health/live",
            headers={"Host": "agents.example.com", "Origin": "https://pages.example.com"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status() == 421
    app.allow(hosts=["Agents.example.com"])
    assert status() == 403
    app.allow(origins=["https://pages.example.com"])
    assert status() == 200
    with pytest.raises(ValueError, match="is not a host"):
        app.allow(hosts=["https://agents.example.com"])
