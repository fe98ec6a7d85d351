"""``/api/sessions``: creating, reading, changing and deleting sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus._common.session_arguments import MAX_TTL_SECONDS
from kaizen_nexus._errors import VersionConflictError
from kaizen_nexus.agents.errors import InputError, InvalidInputsError
from kaizen_nexus.channels.api.execute import CHANNEL
from kaizen_nexus.http.body import read_json_object
from kaizen_nexus.http.conditions import agreed_versions, entity_tag, is_known
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.problems import problem_response
from kaizen_nexus.http.responses import json_response
from kaizen_nexus.http.server.lane import respond_with
from kaizen_nexus.runtime.errors import SessionNotFoundError
from kaizen_nexus.runtime.service import Runtime

if TYPE_CHECKING:
    from kaizen_nexus.http.server.lane import LaneRequest, Respond
    from kaizen_nexus.sessions import CrossChannelSession

__all__ = ["SESSIONS_PREFIX", "SessionEndpoints"]

SESSIONS_PREFIX = "/api/sessions/"

SECONDS_PER_HOUR = 3600
MIN_TTL_SECONDS = 0.001
_NOT_ENCODABLE = (ValueError, RecursionError)
"""What encoding raises for texts, numbers and nesting that JSON cannot say."""


class SessionEndpoints:
    """The endpoints for sessions.

    Parameters
    ----------
    runtime
        Whose sessions they are.
    max_body
        How many bytes a request body may have.
    """

    def __init__(self, runtime: Runtime, max_body: int) -> None:
        self._runtime = runtime
        self._max_body = max_body

    async def create(self, request: Request) -> Response:
        """Create a session: ``POST /api/sessions``.

        The body may give ``user_id`` (default is the caller's own), ``ttl_seconds`` and ``state``.
        The id is always the server's choice, so that it cannot be guessed.
        """
        body = await read_json_object(request, self._max_body)
        unknown = set(body).difference(("user_id", "ttl_seconds", "state"))
        if unknown:
            raise _invalid(min(unknown), "unknown member: use user_id, ttl_seconds and state")
        caller = caller_of(request.scope)
        user_id = body.get("user_id", caller.id)
        if not isinstance(user_id, str) or not user_id.strip():
            raise _invalid("user_id", "expected a string that is not blank")
        if self._runtime.access.enforced and user_id != caller.id:
            raise _invalid("user_id", "a session belongs to its creator: leave this out")
        state = _object_at(body, "state") if "state" in body else {}
        ttl = body.get("ttl_seconds")
        if ttl is not None and not _is_ttl(ttl):
            raise _invalid(
                "ttl_seconds",
                f"expected a number of seconds from {MIN_TTL_SECONDS} to {MAX_TTL_SECONDS}",
            )
        session = self._runtime.sessions.create_session(
            user_id=user_id, ttl_hours=None if ttl is None else ttl / SECONDS_PER_HOUR
        )
        session.update_state(state, channel=CHANNEL)
        location = f"{request.url.path}/{session.session_id}"
        return _session_response(session, status_code=201, headers={"Location": location})

    async def one(self, request: Request) -> Response:
        """Read, change or delete one session: ``/api/sessions/{id}``."""
        answer = {"PATCH": self._update, "DELETE": self._delete}.get(request.method, self._show)
        return await answer(request)

    def begin(self, request: LaneRequest, respond: Respond) -> None:
        """Answer a request of the fast lane to read a session; see `LaneHandler.begin`."""
        session_id = request.name
        if not session_id or "/" in session_id:
            return
        try:
            session = self._runtime.session_of(request.caller, session_id, CHANNEL)
        except SessionNotFoundError:
            return
        respond_with(respond, _session_response(session))

    async def _show(self, request: Request) -> Response:
        """Return a session with its state, or 304 if ``If-None-Match`` names its version."""
        session = self._find(request)
        version = session.version
        if is_known(version, request.headers):
            return Response(status_code=304, headers={"ETag": entity_tag(version)})
        return _session_response(session)

    async def _update(self, request: Request) -> Response:
        """Merge into a session's state.

        The body is the keys to set, or has them under ``state`` alone; other keys are kept. A run
        in progress does not hold it up. ``If-Match`` names the versions that may be changed.
        """
        self._find(request)  # refuse before reading the body
        body = await read_json_object(request, self._max_body)
        updates = _object_at(body, "state") if set(body) == {"state"} else body

        def merge(session: CrossChannelSession, version: int | None) -> bool:
            return self._runtime.sessions.update_session_state(
                session.session_id, updates, CHANNEL, if_version=version
            )

        changed = self._conditionally(request, merge)
        return changed if isinstance(changed, Response) else _session_response(changed)

    async def _delete(self, request: Request) -> Response:
        """Delete a session. ``If-Match`` names the versions that may be deleted."""

        def delete(session: CrossChannelSession, version: int | None) -> bool:
            return self._runtime.sessions.delete_session(session.session_id, if_version=version)

        deleted = self._conditionally(request, delete)
        return deleted if isinstance(deleted, Response) else Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """Give a session another id: ``POST /api/sessions/{id}/rotate``."""
        old = request.path_params["id"]
        session = await self._runtime.rotate(caller_of(request.scope), old)
        session.refresh(CHANNEL)
        place = request.url.path.removesuffix(f"{old}/rotate") + session.session_id
        return _session_response(session, headers={"Location": place})

    def _conditionally(
        self, request: Request, change: Callable[[CrossChannelSession, int | None], bool]
    ) -> CrossChannelSession | Response:
        """Change a session if ``If-Match`` agrees; return it, or the answer that refuses.

        `change` is given the version that the session must have, if any, and returns whether the
        session exists. Each attempt looks the session up anew: it may have been replaced.
        """
        agreed = agreed_versions(request.headers)
        while True:
            session = self._find(request)
            version = session.version
            if agreed is not None and entity_tag(version) not in agreed:
                return _conflict(version)
            with contextlib.suppress(VersionConflictError):  # another request was faster: try again
                if not change(session, None if agreed is None else version):
                    raise SessionNotFoundError
                return session

    def _find(self, request: Request) -> CrossChannelSession:
        caller, session_id = caller_of(request.scope), request.path_params["id"]
        return self._runtime.session_of(caller, session_id, CHANNEL)


def _session_response(
    session: CrossChannelSession, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a session with its state, as of its version."""
    document = _document(session)
    headers = {"ETag": entity_tag(document["version"]), **(headers or {})}
    try:
        return json_response(document, status_code, headers, enc_hook=_name_of_type)
    except _NOT_ENCODABLE:
        state = document["state"]
        document["state"] = {_shown(name): _shown(state[name]) for name in state}
        return json_response(document, status_code, headers, enc_hook=_name_of_type)


def _conflict(version: int) -> Response:
    return problem_response(
        HTTPStatus.PRECONDITION_FAILED,
        slug="version-conflict",
        detail=f"the session's state has version {version}, which If-Match does not name: someone "
        "has changed it; read it again",
        headers={"ETag": entity_tag(version)},
        version=version,
    )


def _is_ttl(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and MIN_TTL_SECONDS <= value <= MAX_TTL_SECONDS
    )


def _document(session: CrossChannelSession) -> dict[str, Any]:
    version = session.version  # before the state: a version too low only makes clients read again
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "created_at": _timestamp(session.created_at),
        "last_accessed": _timestamp(session.last_accessed),
        "expires_at": _timestamp(session.expires_at),
        "channel_activity": {
            channel: _timestamp(moment) for channel, moment in session.channel_activity.items()
        },
        "version": version,
        "state": session.get_state(),
    }


def _timestamp(moment: datetime) -> str:
    return moment.astimezone().isoformat()


def _name_of_type(value: object) -> str:
    """Return what stands for a value of the state that has no JSON form."""
    return f"<{type(value).__qualname__}>"


def _shown(value: object) -> object:
    """Return a value as it is or, where an encoder cannot say so, what stands for it."""
    try:
        msgspec.json.encode(value, enc_hook=_name_of_type)
    except _NOT_ENCODABLE:
        return _name_of_type(value)
    return value


def _object_at(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body[name]
    if not isinstance(value, dict):
        raise _invalid(name, "expected an object")
    return value


def _invalid(name: str, message: str) -> InvalidInputsError:
    return InvalidInputsError((InputError(f"/{name}", message),))
