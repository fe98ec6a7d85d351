"""The last activity of a session, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaizen_nexus._accel import SessionHandle
    from kaizen_nexus.sessions.wallclock import WallClock

__all__ = ["ChannelActivity"]


class ChannelActivity(MutableMapping[str, datetime]):
    """A live view, channel to naive local datetime, of one session's last activity.

    Setting and deleting items changes the session. Compares equal to a dict of the same items.
    """

    __slots__ = ("_clock", "_session")

    def __init__(self, session: SessionHandle, clock: WallClock) -> None:
        self._session = session
        self._clock = clock

    def __getitem__(self, channel: str) -> datetime:
        """Return when the session was last active on `channel`."""
        return self._clock.to_datetime(self._session.channels()[channel])

    def __setitem__(self, channel: str, moment: datetime) -> None:
        """Set when the session was last active on `channel`."""
        self._session.set_channel(channel, self._clock.from_datetime(moment))

    def __delitem__(self, channel: str) -> None:
        """Forget the activity on `channel`."""
        if channel not in self._session.channels():
            raise KeyError(channel)
        self._session.set_channel(channel, None)

    def __iter__(self) -> Iterator[str]:
        """Iterate over a snapshot of the channels."""
        return iter(self._session.channels())

    def __len__(self) -> int:
        """Return the number of channels the session was active on."""
        return len(self._session.channels())

    def copy(self) -> dict[str, datetime]:
        """Return the items as a new dict."""
        return dict(self)

    def __reduce__(self) -> tuple[type[dict[str, datetime]], tuple[dict[str, datetime]]]:
        """Copy as a dict: only the session itself can be behind a live view."""
        return dict, (dict(self),)

    def __repr__(self) -> str:
        """Return the items as a dict would show them."""
        return repr(dict(self))
