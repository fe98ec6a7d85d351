"""``/api/cache``: what deployments have cached, and what tells two entries apart."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus.access.policy import MONITOR
from kaizen_nexus.deployment.cache import get_deployment_cache
from kaizen_nexus.deployment.cache_entries import EntryNotFoundError
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.problems import problem_response
from kaizen_nexus.http.responses import json_response
from kaizen_nexus.runtime.service import Runtime

__all__ = ["CacheEndpoints"]


class CacheEndpoints:
    """The endpoints that show the deployment cache of this process; none of them changes it.

    Parameters
    ----------
    runtime
        What says who may see it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def index(self, request: Request) -> Response:
        """List the entries, their statistics and what could not be cached: ``GET /api/cache``."""
        self._runtime.access.require(caller_of(request.scope), MONITOR)
        cache = get_deployment_cache()
        return json_response(
            {"entries": cache.entries(), "stats": cache.stats(), "uncached": cache.uncached()}
        )

    async def why(self, request: Request) -> Response:
        """Return in which fields two keys differ: ``GET /api/cache/why?a=KEY&b=KEY``."""
        self._runtime.access.require(caller_of(request.scope), MONITOR)
        a, b = (request.query_params.get(name, "") for name in ("a", "b"))
        if not a or not b:
            return problem_response(
                HTTPStatus.BAD_REQUEST, detail="give two entries, as in ?a=KEY&b=KEY"
            )
        try:
            comparison = get_deployment_cache().why(a, b)
        except EntryNotFoundError as error:
            return problem_response(
                HTTPStatus.NOT_FOUND, slug="cache-entry-not-found", detail=str(error)
            )
        return json_response(
            {
                "a": comparison.a,
                "b": comparison.b,
                "differences": [difference._asdict() for difference in comparison.differences],
            }
        )
