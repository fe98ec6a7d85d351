"""Argument checks of the session table, shared by both of its implementations.

Only the slow paths come here: a value that is already of the exact type and within its bounds is
accepted inline. Every function returns the value in its normal form or raises the one error that
both implementations raise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kaizen_nexus._errors import SessionTableFullError, VersionConflictError

__all__ = [
    "MAX_CAPACITY",
    "MAX_CHANNELS",
    "MAX_CHANNEL_LENGTH",
    "MAX_ID_LENGTH",
    "MAX_TIME_NS",
    "MAX_TTL_SECONDS",
    "MAX_VERSION",
    "NS_PER_SECOND",
    "begun_before",
    "budget_ns",
    "capacity",
    "channel_name",
    "clock",
    "clock_reading",
    "duration_ns",
    "eviction_policy",
    "not_begun",
    "require_user",
    "session_id",
    "slice_rows",
    "state_dict",
    "subclass",
    "table_full",
    "timestamp_ns",
    "too_many_channels",
    "user_id",
    "version",
    "version_conflict",
]

NS_PER_SECOND: Final = 1_000_000_000
MAX_TTL_SECONDS: Final = 3_155_760_000
"""A century of Julian years: `MAX_TIME_NS` plus this still fits in 63 bits."""
MAX_TIME_NS: Final = 1 << 62
MAX_VERSION: Final = 1 << 62
MAX_CAPACITY: Final = 1 << 30
MAX_CHANNELS: Final = 16
MAX_CHANNEL_LENGTH: Final = 64
MAX_ID_LENGTH: Final = 256
_LONGEST_SHOWN: Final = 64


def _type_name(value: object) -> str:
    return type(value).__name__


def _shown(number: float) -> str:
    """Return a number for a message; printing a huge int takes long, or is refused."""
    if isinstance(number, int) and number.bit_length() > _LONGEST_SHOWN:
        return f"an int of {number.bit_length()} bits"
    return str(number)


def _seconds(value: object, name: str) -> int | float:
    """Return `value` as a finite number, refusing what merely converts to one."""
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, not the bool {value}")  # noqa: TRY004 - a value nobody means
    if isinstance(value, int):
        return value
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{name} must be a number, not {_type_name(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]  # numpy and decimal numbers have __float__
    except TypeError:
        raise TypeError(f"{name} must be a number, not {_type_name(value)}") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}")
    return number


def duration_ns(value: object, name: str = "ttl", unit: int = 1) -> int:
    """Return a time to live in nanoseconds.

    Parameters
    ----------
    value
        A positive number of `unit` seconds, at most a century.
    name
        What the error message calls it.
    unit
        Seconds in one unit of `value`; 3600 for hours.

    Raises
    ------
    TypeError
        If `value` is not a number.
    ValueError
        If it is a bool, not finite, not positive, or above `MAX_TTL_SECONDS`. The bound is checked
        before anything is multiplied, so no value can wrap around.
    """
    number = _seconds(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, not {_shown(number)}")
    if number > MAX_TTL_SECONDS // unit:
        raise ValueError(f"{name} must be at most {MAX_TTL_SECONDS // unit}, not {_shown(number)}")
    return max(1, round(number * unit * NS_PER_SECOND))


def budget_ns(value: object) -> int:
    """Return the time that one sweep slice may take, in nanoseconds."""
    number = _seconds(value, "budget")
    if not 0 <= number <= MAX_TTL_SECONDS:
        raise ValueError(
            f"budget must be between 0 and {MAX_TTL_SECONDS} seconds, not {_shown(number)}"
        )
    return round(number * NS_PER_SECOND)


def _bounded_int(value: object, name: str, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {_type_name(value)}")
    if not 1 <= value <= high:
        raise ValueError(f"{name} must be between 1 and {high}, not {_shown(value)}")
    return int(value)


def capacity(value: object, name: str = "capacity") -> int:
    """Return the number of rows that a table may hold; `name` is for the message."""
    return _bounded_int(value, name, MAX_CAPACITY)


def slice_rows(value: object) -> int:
    """Return the number of rows that one sweep slice may scan."""
    return _bounded_int(value, "max_rows", MAX_CAPACITY)


def eviction_policy(value: object) -> bool:
    """Return whether `value`, the `on_full` argument, asks for eviction."""
    if value not in ("refuse", "evict"):
        raise ValueError(f"on_full must be 'refuse' or 'evict', not {value!r}")
    return value == "evict"


def clock(value: object) -> Callable[[], int] | None:
    """Return `value` if it can be called or is None."""
    if value is None or callable(value):
        return value
    raise TypeError(f"clock must be callable or None, not {_type_name(value)}")


def clock_reading(value: object) -> int:
    """Return what an injected clock answered: nanoseconds within 0 and 2**62."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"clock must return an int of nanoseconds, not {_type_name(value)}")
    if not 0 <= value <= MAX_TIME_NS:
        raise ValueError(f"clock must return between 0 and 2**62 nanoseconds, not {_shown(value)}")
    return int(value)


def timestamp_ns(value: object, name: str) -> int:
    """Return a point in time on the table's clock, which may lie before the clock's zero."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of nanoseconds, not {_type_name(value)}")
    if not -MAX_TIME_NS <= value <= MAX_TIME_NS:
        raise ValueError(f"{name} must be within 2**62 nanoseconds of zero, not {_shown(value)}")
    return int(value)


def session_id(value: object) -> str:
    """Return a session id as an exact str of 1 to `MAX_ID_LENGTH` characters."""
    if not isinstance(value, str):
        raise TypeError(f"session_id must be a str, not {_type_name(value)}")
    exact = str.__str__(value)
    if not 1 <= len(exact) <= MAX_ID_LENGTH:
        raise ValueError(
            f"session_id must have between 1 and {MAX_ID_LENGTH} characters, not {len(exact)}"
        )
    return exact


def user_id(value: object) -> str:
    """Return a user id as an exact str; an empty one is the caller's business."""
    if not isinstance(value, str):
        raise TypeError(f"user_id must be a str, not {_type_name(value)}")
    return str.__str__(value)


def require_user(value: object) -> None:
    """Refuse a user id that is missing or blank; what is not a str is refused elsewhere."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(
            f"user_id must say whose session it is, and not be {value!r}: "
            "pass create_session(user_id=...)"
        )


def subclass(value: object, base: type) -> type:
    """Return `value` if it is `base` or a subclass."""
    if isinstance(value, type) and issubclass(value, base):
        return value
    raise TypeError(f"handles must be a subclass of {base.__name__}, not {value!r}")


def begun_before() -> RuntimeError:
    """Return the error for initialising a session a second time."""
    return RuntimeError("a session is initialised only once")


def not_begun() -> ValueError:
    """Return the error for a session whose class does not call the constructor of its base."""
    return ValueError("the session was not initialised: call super().__init__()")


def channel_name(value: object) -> str:
    """Return a channel name as an exact str of 1 to `MAX_CHANNEL_LENGTH` characters."""
    if not isinstance(value, str):
        raise TypeError(f"channel must be a str, not {_type_name(value)}")
    exact = str.__str__(value)
    if not 1 <= len(exact) <= MAX_CHANNEL_LENGTH:
        raise ValueError(
            f"channel must have between 1 and {MAX_CHANNEL_LENGTH} characters, not {len(exact)}"
        )
    return exact


def too_many_channels(name: str) -> ValueError:
    """Return the error for a channel beyond the last that there is room for."""
    return ValueError(
        f"channel {name!r} would be number {MAX_CHANNELS + 1}: at most {MAX_CHANNELS} distinct "
        "channel names are kept; use a fixed set of names such as 'api', 'cli' and 'mcp'"
    )


def state_dict(value: Mapping[str, Any] | Iterable[tuple[str, Any]], name: str) -> dict[str, Any]:
    """Return a new dict of `value`'s items, its keys exact str.

    Raises
    ------
    TypeError
        If `value` is neither a mapping nor an iterable of pairs, or a key is not a str.
    """
    try:
        items = dict(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a mapping, not {_type_name(value)}") from None
    for key in items:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have str keys, not {_type_name(key)}")
    if all(type(key) is str for key in items):
        return items
    return {str.__str__(key): item for key, item in items.items()}


def version(value: object, name: str) -> int:
    """Return the version of a state."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {_type_name(value)}")
    if not 0 <= value <= MAX_VERSION:
        raise ValueError(f"{name} must be between 0 and 2**62, not {_shown(value)}")
    return int(value)


def version_conflict(expected: int, current: int) -> VersionConflictError:
    """Return the error for a change that insists on another version of the state."""
    return VersionConflictError(expected, current)


def table_full(limit: int) -> SessionTableFullError:
    """Return the error for a session that a full table refuses."""
    return SessionTableFullError(
        f"the session table holds {limit} sessions, its capacity, and none has expired: raise the "
        "capacity, shorten the TTL, delete sessions that are finished, or use on_full='evict'"
    )
