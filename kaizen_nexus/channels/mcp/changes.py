"""Notices that the list of tools has changed, from any thread to the clients that listen."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from kaizen_nexus.channels.mcp.messages import (
    INTERNAL_ERROR,
    KEY,
    MODERN,
    Json,
    ListenParams,
    ProtocolError,
    Reply,
    RequestId,
    encode,
    result_reply,
)
from kaizen_nexus.channels.mcp.server import completed

__all__ = ["CHANGED", "MAX_SUBSCRIPTIONS", "Listening", "Subscription", "ToolChanges"]

_CHANGED = "notifications/tools/list_changed"
CHANGED = encode({"jsonrpc": "2.0", "method": _CHANGED})
"""What a client that began with a handshake is told."""

MAX_SUBSCRIPTIONS = 1_024


class Subscription:
    """One client that is told of changes; to be waited for on the event loop that made it.

    A notice says that something changed, not what, so any number of changes that happen before it
    is delivered are one notice.
    """

    def __init__(self) -> None:
        self.ended = False
        """Whether the server wants to say goodbye."""
        self._changed = False
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()

    def tell(self, *, ended: bool = False) -> None:
        """Wake whoever waits; from any thread."""
        is_news = not (self.ended if ended else self._changed)
        if ended:
            self.ended = True
        else:
            self._changed = True
        if is_news:
            # A subscription cannot outlive its event loop.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def changed(self, timeout: float | None = None) -> bool:
        """Wait for a change, and return whether there was one: perhaps the subscription has ended.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None for any time.
        """
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()
        # Before it is delivered: the list that the client then gets may lack any later change.
        changed, self._changed = self._changed, False
        return changed


class ToolChanges:
    """The clients that are told of changes.

    A client that loses a notice with its connection lists the tools again when it comes back, so
    notices are not kept.

    Parameters
    ----------
    max_subscriptions
        How many clients may listen at a time; further ones are refused.
    """

    def __init__(self, max_subscriptions: int = MAX_SUBSCRIPTIONS) -> None:
        self._max_subscriptions = max_subscriptions
        self._open: set[Subscription] = set()
        self._lock = threading.Lock()

    def subscribe(self) -> Subscription:
        """Begin to tell a client; to be given to `unsubscribe` in the end.

        Raises
        ------
        ProtocolError
            Too many are told already.
        """
        subscription = Subscription()
        with self._lock:
            if len(self._open) >= self._max_subscriptions:
                raise ProtocolError(INTERNAL_ERROR, "Too many subscriptions")
            self._open.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Tell a client no more."""
        with self._lock:
            self._open.discard(subscription)

    def notify(self) -> None:
        """Say that the tools changed; from any thread."""
        for subscription in self._subscriptions():
            subscription.tell()

    def close(self) -> None:
        """End all subscriptions that are open; from any thread."""
        for subscription in self._subscriptions():
            subscription.tell(ended=True)

    def _subscriptions(self) -> list[Subscription]:
        with self._lock:
            return list(self._open)


class Listening:
    """The messages that a client hears on its ``subscriptions/listen``.

    Parameters
    ----------
    request_id, params
        The request.
    """

    def __init__(self, request_id: RequestId | None, params: ListenParams) -> None:
        self._request_id = request_id
        self._meta: Json = {f"{KEY}subscriptionId": request_id}
        self._wants_tools = bool(params.notifications.tools_list_changed)

    def acknowledgement(self) -> bytes:
        """Return what comes first: which of the notices asked for there will be."""
        honoured = {"toolsListChanged": True} if self._wants_tools else {}
        return self._notification(
            "notifications/subscriptions/acknowledged", notifications=honoured
        )

    def notice(self) -> bytes | None:
        """Return what tells that the tools changed; None if the client did not ask for that."""
        return self._notification(_CHANGED) if self._wants_tools else None

    def farewell(self) -> Reply:
        """Return what comes last when the server ends the subscription."""
        return result_reply(self._request_id, completed(MODERN, {}, self._meta))

    def _notification(self, method: str, **members: Json) -> bytes:
        params = {"_meta": self._meta, **members}
        return encode({"jsonrpc": "2.0", "method": method, "params": params})
