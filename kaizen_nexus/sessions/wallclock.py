"""Between the monotonic nanoseconds that sessions are kept in and the datetimes that users see."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kaizen_nexus._accel import SessionHandle
from kaizen_nexus._common.session_arguments import MAX_TIME_NS, NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WallClock", "default_wall_clock"]

_TOLERANCE_NS: Final = 1_000_000
_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 2099
_END_OF_TIME_NS: Final = 4_102_444_800 * NS_PER_SECOND
"""The beginning of the year 2100: later moments are told as this one."""


class WallClock:
    """Converts between a monotonic clock and naive local datetimes.

    The distance between the two clocks is kept, so that one moment always converts to the same
    datetime, until it is found to have changed by more than a millisecond: then the wall clock was
    stepped, and every moment is shown as the new wall clock would have told it.

    Parameters
    ----------
    now
        The monotonic clock, in nanoseconds.
    wall
        The wall clock, in nanoseconds since the epoch. None reads the system's once and has it
        advance with `now`, as a test wants that moves `now` by hand.
    """

    def __init__(self, now: Callable[[], int], wall: Callable[[], int] | None) -> None:
        self._now = now
        self._wall = wall
        self._offset = (time.time_ns if wall is None else wall)() - now()

    def now(self) -> int:
        """Return the monotonic clock."""
        return self._now()

    def offset(self) -> int:
        """Return what to add to the monotonic clock to get nanoseconds since the epoch."""
        if self._wall is None:
            return self._offset
        before = self._now()
        wall = self._wall()
        after = self._now()
        offset = wall - (before + after) // 2
        # A thread that is suspended between two readings must not pass for a stepped clock.
        if abs(offset - self._offset) > _TOLERANCE_NS + after - before:
            self._offset = offset
        return self._offset

    def to_datetime(self, moment: int) -> datetime:
        """Return a moment on the monotonic clock as a naive local datetime."""
        seconds, nanoseconds = divmod(max(0, moment + self.offset()), NS_PER_SECOND)
        local = datetime.fromtimestamp(seconds)  # noqa: DTZ006 - naive local time is the contract
        return local.replace(microsecond=nanoseconds // 1000)

    def from_datetime(self, moment: datetime) -> int:
        """Return a datetime, naive local or aware, as a moment on the monotonic clock.

        Raises
        ------
        TypeError
            If `moment` is not a datetime.
        """
        if not isinstance(moment, datetime):
            raise TypeError(f"a point in time must be a datetime, not {type(moment).__name__}")
        if moment.year < _FIRST_YEAR:
            wall = 0
        elif moment.year > _LAST_YEAR:
            wall = _END_OF_TIME_NS
        else:
            # Apart, since a float holds microseconds of this century only just.
            wall = int(moment.replace(microsecond=0).timestamp()) * NS_PER_SECOND
            wall += moment.microsecond * 1000
        return _clamped(wall - self.offset())

    def restated(self, moment: int, other: WallClock) -> int:
        """Return on this monotonic clock a moment that was told on another one."""
        return _clamped(moment + other.offset() - self.offset())


def _clamped(moment: int) -> int:
    return max(-MAX_TIME_NS, min(moment, MAX_TIME_NS))


_default: WallClock | None = None


def default_wall_clock() -> WallClock:
    """Return the wall clock that goes with the built-in monotonic clock."""
    global _default  # noqa: PLW0603 - made on first use, because it loads the core
    if _default is None:
        _default = WallClock(SessionHandle().now, time.time_ns)
    return _default
