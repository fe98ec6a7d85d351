"""``python examples/complete_integration``: everything the service does, with real requests."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import kaizen_nexus

kaizen_nexus.install()  # ahead of the first import of kaizen.integrations.nexus

from clients import CLIENTS, RefusedError
from kaizen.integrations.nexus import (
    PerformanceMetrics,
    PerformanceMonitor,
    clear_deployment_cache,
    deploy_multi_channel,
    get_deployment_cache,
)
from service import FRAMEWORK, app, channels, make_assistant, session_manager

QUESTION = "When does a session expire?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps; return 0 if each of them gave what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="where to listen; default: a free port")
    options = parser.parse_args(arguments)
    try:
        with serving(options.port):
            session = session_manager.create_session(user_id="ada")
            ask_on_all_channels(session.session_id)
            share_a_session(session)
            redeploy_from_the_cache()
            handle_errors(session.session_id)
            end_sessions(session.session_id)
            read_the_metrics()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except (OSError, UnexpectedError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def serving(port: int) -> Iterator[None]:
    """Serve the app in the background; whatever happens, leave nothing behind."""
    print(f"Agent: {FRAMEWORK}")
    app.api_port = port
    try:
        app.start(blocking=False)
        expect(app.health_check()["status"], "healthy")
        print(f"Serving on {app.url}")
        yield
    finally:
        app.close()
        session_manager.close()
        session_manager.sessions.clear()
        clear_deployment_cache()
        left = len(session_manager.sessions)
        print(f"\nCleaned up: the server is stopped, the cache is empty, {left} sessions are left.")


def ask_on_all_channels(session_id: str) -> None:
    """Send one question over every channel: the answers are the same."""
    say("One question over HTTP, on the command line and over MCP")
    answers = []
    for channel, ask in CLIENTS.items():
        where = channels["assistant"][channel]
        answers.append(ask(app.url, where, {"question": QUESTION}, session_id))
        print(f"  {where:<36} {shorten(answers[-1]['response'], 60)}")
    expect(answers, answers[:1] * 3)


def share_a_session(session: Any) -> None:
    """Read, on one channel, what another has stored."""
    say("One session on all channels")
    expect(sorted(session.channel_activity), ["api", "cli", "mcp"])
    session_manager.update_session_state(session.session_id, {"topic": "TTL"}, channel="mcp")
    state = session_manager.get_session_state(session.session_id, channel="cli")
    expect(state, {"topic": "TTL"})
    print(
        f"  used over {', '.join(session.channel_activity)}; stored over mcp, read by cli: {state}"
    )


def redeploy_from_the_cache() -> None:
    """Deploy an equal agent, which is found in the cache, and another, which is not."""
    say("Redeployment")
    clear_deployment_cache()
    hits = get_deployment_cache().stats()["hits"]
    timings = PerformanceMetrics()
    for agent in (make_assistant(), make_assistant(), make_assistant(temperature=0.9)):
        with PerformanceMonitor(timings, "deployment"):
            deploy_multi_channel(agent, app, "assistant")
    expect(get_deployment_cache().stats()["hits"], hits + 1)
    first, cached, changed = (f"{seconds * 1e3:.2f} ms" for seconds in timings.deployment_times)
    print(f"  first {first}, an equal agent {cached}, another temperature {changed}")


def handle_errors(session_id: str) -> None:
    """Show what clients are told, on every channel, and what a careless deployment is."""
    say("Errors")
    # Agents fail here on purpose, and the service would log a traceback of each failure.
    logging.disable(logging.ERROR)
    for what, inputs, session in (
        ("wrong input", {"numerator": 1, "denominator": "two"}, session_id),
        ("agent fails", {"numerator": 1, "denominator": 0}, session_id),
        ("no session", {"numerator": 1, "denominator": 2}, "expired-long-ago"),
    ):
        for channel, ask in CLIENTS.items():
            where = channels["divide"][channel]
            told = refusal(RefusedError, ask, app.url, where, inputs, session)
            print(f"  {what}, {channel}: {told}")
    logging.disable(logging.NOTSET)
    for agent, name in ((None, "nothing"), (make_assistant(), "../escape")):
        print(f"  deployment: {refusal(ValueError, deploy_multi_channel, agent, app, name)}")


def refusal(kind: type[Exception], call: Callable[..., object], *arguments: object) -> str:
    """Return the message of the exception that a call raises."""
    try:
        result = call(*arguments)
    except kind as error:
        return " ".join(str(error).split())
    raise UnexpectedError(f"{arguments} should have been refused, and gave {result!r}")


def end_sessions(session_id: str) -> None:
    """Sweep the session of someone who has not come back, and delete another."""
    say("Sessions end")
    gone = session_manager.create_session(user_id="bob")
    gone.expires_at = gone.created_at
    expect(session_manager.get_session_state(gone.session_id), None)
    swept = session_manager.cleanup_expired_sessions()
    expect((swept, session_manager.delete_session(session_id)), (1, True))
    metrics = session_manager.get_session_metrics()
    print(f"  swept: {swept}, deleted: 1, still there: {metrics['total_sessions']}\n")


def read_the_metrics() -> None:
    """Print what was recorded of every request and deployment."""
    summary = app.metrics.get_summary()
    for channel in CLIENTS:
        # One question was answered; all other requests were made to fail.
        expect(summary[channel]["count"] - summary[channel]["failures"], 1)
    app.metrics.print_summary()


class UnexpectedError(Exception):
    """Something went otherwise than it should."""


def expect(found: object, expected: object) -> None:
    """Raise unless a step gave what it should."""
    if found != expected:
        raise UnexpectedError(f"expected {expected!r}, got {found!r}")


def say(title: str) -> None:
    """Print a heading."""
    print(f"\n{title}")


if __name__ == "__main__":
    raise SystemExit(main())
