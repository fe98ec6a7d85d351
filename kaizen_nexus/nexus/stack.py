"""The app's ASGI stack: what a request passes through, from the outside in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from kaizen_nexus.channels.api.execute import EXECUTE_PREFIX, EXECUTE_SUFFIX, Execution
from kaizen_nexus.channels.api.routes import api_routes, prefixed_routes
from kaizen_nexus.channels.api.sessions import SESSIONS_PREFIX, SessionEndpoints
from kaizen_nexus.channels.api.stream import Streaming
from kaizen_nexus.channels.cli.endpoint import CliEndpoint
from kaizen_nexus.channels.cli.protocol import PATH
from kaizen_nexus.channels.mcp.lane import McpLane
from kaizen_nexus.http.addressing import AddressCheck
from kaizen_nexus.http.authentication import Authentication
from kaizen_nexus.http.client_address import TrustedProxies
from kaizen_nexus.http.problems import EXCEPTION_HANDLERS
from kaizen_nexus.http.server.lane import Lane, LaneRoute
from kaizen_nexus.nexus.direct import MCP_PATH, DirectRoute

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kaizen_nexus.access.authenticator import Authenticator
    from kaizen_nexus.channels.mcp.http import McpEndpoint
    from kaizen_nexus.http.streams import Streams
    from kaizen_nexus.runtime.health import Health
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["ServingOptions", "asgi_stack"]


@dataclass(frozen=True)
class ServingOptions:
    """How requests are served, whatever they ask for."""

    max_body: int
    """How many bytes a request body may have."""
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()
    authenticator: Authenticator | None = None
    """What identifies the callers; None if everybody may use the app."""
    rate_limit: int | str | None = None
    """How often each of them may ask, as `parse_rate_limit` takes it; None for any number."""
    monitoring: bool = True
    """Whether measurements are published."""
    trusted_proxies: Sequence[str] = ()
    """Who may say which client it speaks for."""


def asgi_stack(
    runtime: Runtime,
    health: Health,
    mcp: McpEndpoint,
    *,
    streams: Streams,
    options: ServingOptions,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
) -> tuple[AddressCheck, Lane | None]:
    """Return the app that answers every request, and the server's fast lane to it, if it has one.

    The app checks a request first, and then passes it on to the channels' routes. The lane checks
    the same, or leaves the request to the app.
    """
    execution = Execution(runtime, options.max_body)
    streaming = Streaming(runtime, execution, streams)
    sessions = SessionEndpoints(runtime, options.max_body)
    command_line = CliEndpoint(runtime, options.max_body, streams)
    routes = Starlette(
        routes=[
            *api_routes(
                runtime,
                health,
                execution,
                streaming,
                streams,
                sessions,
                monitoring=options.monitoring,
                limited=options.rate_limit is not None,
            ),
            Route(PATH, command_line, methods=["POST"]),
            Route(MCP_PATH, mcp),
            *prefixed_routes(runtime, execution, streaming),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    # What is to come before every request goes around this.
    app: ASGIApp = DirectRoute(routes, execution, mcp)
    rate_limit = None
    if options.rate_limit is not None:
        from kaizen_nexus.http.rate_limit import RateLimit, RateLimiter, parse_rate_limit

        app = rate_limit = RateLimit(app, RateLimiter(parse_rate_limit(options.rate_limit)))
    authentication = None
    if options.authenticator is not None:
        app = authentication = Authentication(app, options.authenticator, rate_limit)
    if options.trusted_proxies:
        app = TrustedProxies(app, options.trusted_proxies)
    asgi = AddressCheck(app, options.allowed_hosts, options.allowed_origins)
    # Whom a proxy speaks for is found out by the app alone.
    if options.trusted_proxies or os.environ.get("KAIZEN_NEXUS_LANE") == "off":
        return asgi, None
    lane = Lane(
        [
            LaneRoute("POST", EXECUTE_PREFIX, EXECUTE_SUFFIX, execution),
            LaneRoute("GET", SESSIONS_PREFIX, "", sessions),
            LaneRoute("POST", PATH, "", command_line),
            LaneRoute("POST", MCP_PATH, "", McpLane(mcp, MCP_PATH)),
        ],
        asgi.familiar,
        None if authentication is None else authentication.caller_at_once,
        None if rate_limit is None else rate_limit.take,
    )
    return asgi, lane
