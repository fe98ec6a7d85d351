"""A server that is told to stop."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel

def greet(name: str = "you") -> str:
    return f"Hello {name}"

app = Nexus(shutdown_grace=2)
deploy_multi_channel(greet, app, "greet")
"""


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_ends_with_0(
    serve: Callable[..., Server], sig: signal.Signals
) -> None:
    server = serve(SERVICE)
    with urllib.request.urlopen(f"{server.url}/health/ready", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    assert server.stop(sig) == 0
