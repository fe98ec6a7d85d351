"""`Nexus`: the app that composes the runtime and its three channels."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.sessions import NexusSessionManager

try:
    from kaizen_nexus.access.authenticator import Authenticator
    from kaizen_nexus.access.policy import Access
    from kaizen_nexus.access.settings import Auth
    from kaizen_nexus.channels.mcp.http import McpEndpoint
    from kaizen_nexus.deployment.target import DeploymentTarget
    from kaizen_nexus.http.addressing import several
    from kaizen_nexus.http.body import DEFAULT_MAX_BODY
    from kaizen_nexus.http.streams import DEFAULT_MAX_STREAMS, Streams
    from kaizen_nexus.nexus.hosting import Hosting
    from kaizen_nexus.nexus.stack import ServingOptions, asgi_stack
    from kaizen_nexus.runtime.breaker import DEFAULT_QUARANTINE, Quarantine
    from kaizen_nexus.runtime.checks import checked_count
    from kaizen_nexus.runtime.discovery import Discovery
    from kaizen_nexus.runtime.executor import (
        DEFAULT_MAX_PENDING,
        DEFAULT_MAX_THREADS,
        DEFAULT_TIMEOUT,
        Executor,
    )
    from kaizen_nexus.runtime.health import Health
    from kaizen_nexus.runtime.registry import Registry
    from kaizen_nexus.runtime.replays import DEFAULT_TTL, Replays
    from kaizen_nexus.runtime.service import Runtime
except ModuleNotFoundError as error:
    if error.name and error.name.startswith("kaizen_nexus"):
        raise
    missing_extra("Nexus", "serve", error)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.monitoring import PerformanceMetrics

__all__ = ["Nexus"]

DEFAULT_GRACE = 10.0
STREAM_GRACE = 1.0
"""Seconds of the grace period in which streams are ended."""


class Nexus(DeploymentTarget, Hosting):
    """Serves deployed agents over HTTP, the command line and MCP, with one session space.

    It is itself an ASGI application: ``uvicorn service:app`` serves it, and FastAPI or Starlette
    can mount it. Deploying, deregistering and reading are safe from any thread at any time.

    Parameters
    ----------
    auto_discovery
        Whether, once the app is served, the agents found in ``workflows/*.py``,
        ``*_workflow.py`` and ``workflow_*.py`` beside the file that makes the app are deployed,
        in the background.
    api_port
        Where `start` listens; 0 takes any free port, which this attribute then names.
    mcp_port
        A second port to listen on, for MCP clients that expect one; ``/mcp`` answers on both.
    host
        The address to listen on.
    insecure
        Whether `host` may be an address that other machines can reach without authentication.
    enable_auth
        Whether callers must authenticate: by API keys (``nexus keys``), or as `auth` says.
    auth
        How callers authenticate; giving it implies `enable_auth`.
    session_manager
        Where sessions live; default is a new `NexusSessionManager`.
    metrics
        Where executions and deployments are recorded; default is a new `PerformanceMetrics`.
    max_threads
        How many synchronous agents run at the same time.
    max_pending
        How many requests may run or wait; others are answered 503.
    max_running
        How many of them run at the same time while the others wait; None means all.
    timeout
        Seconds that a run may take, including the wait for a thread; then it is given up and
        answered 504. None means any time.
    quarantine
        When to stop calling an agent that keeps failing, for a while: its requests are answered
        503. None means never.
    max_body
        The most bytes of a request body.
    idempotency_ttl
        Seconds for which the answer to a request with an idempotency key is kept for retries.
    max_streams
        How many streams may be open at a time; others are answered 503.
    shutdown_grace
        Seconds that running requests get to finish when the server stops; it has stopped a second
        later, whatever agents do.
    discovery_root
        The folder for `auto_discovery`; default is that of the file that makes the app.
    allowed_hosts, allowed_origins
        Values of the ``Host`` header, such as ``"agents.example.com"``, and of ``Origin`` that are
        accepted besides the local ones. ``"*"`` accepts any.
    enable_monitoring
        Whether ``/metrics.json`` publishes measurements; they are made in any case.
    rate_limit
        How many requests a minute each caller may send, or limits such as
        ``"100/minute;10/second"``; others are answered 429. None means any number.
    trusted_proxies
        Addresses and networks of proxies, such as ``"10.0.0.0/8"``, whose ``X-Forwarded-For`` names
        the client.
    """

    def __init__(
        self,
        auto_discovery: bool = False,
        api_port: int = 8000,
        mcp_port: int | None = None,
        host: str = "127.0.0.1",
        *,
        insecure: bool = False,
        enable_auth: bool = False,
        auth: Auth | None = None,
        session_manager: NexusSessionManager | None = None,
        metrics: PerformanceMetrics | None = None,
        max_threads: int = DEFAULT_MAX_THREADS,
        max_pending: int = DEFAULT_MAX_PENDING,
        max_running: int | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        quarantine: Quarantine | None = DEFAULT_QUARANTINE,
        max_body: int = DEFAULT_MAX_BODY,
        idempotency_ttl: float = DEFAULT_TTL,
        max_streams: int = DEFAULT_MAX_STREAMS,
        shutdown_grace: float = DEFAULT_GRACE,
        discovery_root: str | Path | None = None,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        enable_monitoring: bool = True,
        rate_limit: int | str | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        super().__init__(host, api_port, mcp_port, insecure=insecure, shutdown_grace=shutdown_grace)
        self.auto_discovery = auto_discovery
        if auth is None and enable_auth:
            auth = Auth()
        self._authenticator = None if auth is None else Authenticator(auth)
        self.runtime = Runtime(
            session_manager,
            metrics,
            Executor(max_threads, max_pending, timeout, max_running),
            Registry(quarantine=quarantine),
            replays=Replays(idempotency_ttl),
            access=Access(enforced=auth is not None),
        )
        self._own_sessions = session_manager is None
        self.discovery_root = _caller_folder() if discovery_root is None else Path(discovery_root)
        self._health = Health(self.runtime)
        checked_count("max_body", max_body)
        self._mcp = McpEndpoint(self.runtime, max_body)
        self._streams = Streams(max_streams)
        self._lock = threading.Lock()
        options = ServingOptions(
            max_body=max_body,
            allowed_hosts=several("allowed_hosts", allowed_hosts),
            allowed_origins=several("allowed_origins", allowed_origins),
            authenticator=self._authenticator,
            monitoring=enable_monitoring,
            rate_limit=rate_limit,
            trusted_proxies=several("trusted_proxies", trusted_proxies),
        )
        self._asgi, self._lane = asgi_stack(
            self.runtime,
            self._health,
            self._mcp,
            streams=self._streams,
            options=options,
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        await self._asgi(scope, receive, send)

    @property
    def session_manager(self) -> NexusSessionManager:
        """Where the sessions of all channels live."""
        return self.runtime.sessions

    @session_manager.setter
    def session_manager(self, manager: NexusSessionManager) -> None:
        self.adopt_session_manager(manager)

    def adopt_session_manager(self, manager: NexusSessionManager) -> None:
        """Use `manager` for the sessions of all channels.

        Raises
        ------
        TypeError
            It is not a `NexusSessionManager`.
        ValueError
            Another manager was given before, or holds sessions already.
        """
        if not isinstance(manager, NexusSessionManager):
            raise TypeError(
                f"session_manager must be a NexusSessionManager, not {type(manager).__qualname__}"
            )
        with self._lock:
            current = self.runtime.sessions
            if manager is current:
                return
            if not self._own_sessions or len(current.sessions):
                raise ValueError(
                    "this app already keeps its sessions in another manager: use that one "
                    "(app.session_manager), or pass yours to Nexus(session_manager=...)"
                )
            self.runtime.sessions = manager
            self._own_sessions = False
        current.close()

    def allow(self, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Accept further values of ``Host`` and ``Origin``, besides those given to the app.

        Raises
        ------
        ValueError
            A value is not a host, or not an origin.
        """
        self._asgi.allow(several("hosts", hosts), several("origins", origins))

    def health_check(self) -> dict[str, Any]:
        """Return the report that ``/health/ready`` answers with."""
        return self._health.check()

    def run_stdio(self) -> None:
        """Serve one MCP client over standard input and output until it disconnects, or a signal."""
        self._mcp.run_stdio(self._discover)

    def close(self) -> None:
        """Stop serving; end the session cleanup, unless a session manager was given."""
        self.stop()
        if self._own_sessions:
            self.runtime.sessions.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        await self._mcp.start()
        self._streams.open()
        self.runtime.watchdog.start()
        self._discover()
        self._health.ready = True
        try:
            yield
        finally:
            self._health.ready = False
            self.runtime.watchdog.stop()
            await self._mcp.stop()

    def _stopping(self) -> None:
        self._health.ready = False
        self._mcp.end_subscriptions()
        grace = max(0.0, self.shutdown_grace - STREAM_GRACE)
        self._mcp.end_streams(grace)
        self._streams.close(grace)

    def _discover(self) -> None:
        if not self.auto_discovery:
            return
        discovery = Discovery(self.discovery_root, self._discovered)
        self._health.discovery = discovery.report
        discovery.start()

    def _discovered(self, agent: object, name: str) -> None:
        self.register(name, agent)


def _caller_folder() -> Path:
    """Return the folder of the file that makes the app; in an interactive session, the current one.

    Under ``uvicorn service:app`` the entry file of the process is uvicorn's.
    """
    file = sys._getframe(2).f_globals.get("__file__")
    return Path(file).resolve().parent if isinstance(file, str) else Path.cwd()
