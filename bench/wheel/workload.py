"""What the expiry structures go through: a table in its steady state, and traces of its use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table", "equal_ttls", "mixed_ttls", "table", "trace"]

SECOND = 10**9
TTL = 3_600 * SECOND
SHORTEST, LONGEST = 60 * SECOND, 24 * 3_600 * SECOND
CREATED = 0.01  # of all operations
ZIPF = 0.99  # the exponent of YCSB's workloads
LEAST_USED = 2.5  # how often the least popular user is expected to come within an hour

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """A table of sessions some time after its start, with as many users as slots."""

    now: int
    step: int
    """Nanoseconds from one operation to the next."""
    ttl: Int64s
    """Of each user."""
    slot_of: Int32s
    """Of each user; -1 without a session."""
    owner_of: Int32s
    """Of each slot; a permutation of the users."""
    linked: Int64s
    """Of each user, when the session was last inserted or looked at to expire: what a lazy
    structure knows, which is not before now and not after `expires`."""
    expires: Int64s
    """Of each user."""

    @property
    def held(self) -> Int32s:
        """The users that have a session, in the order of their slots."""
        held: Int32s = self.owner_of[self.slot_of[self.owner_of] >= 0]
        return held


def equal_ttls(_: np.random.Generator, users: int) -> Int64s:
    """Return an hour for each user."""
    return np.full(users, TTL, np.int64)


def mixed_ttls(random: np.random.Generator, users: int) -> Int64s:
    """Return from a minute to a day for each user, each order of magnitude as often as another."""
    exponents = random.uniform(np.log(SHORTEST), np.log(LONGEST), users)
    return np.exp(exponents).astype(np.int64)


def popularity(users: int) -> NDArray[np.float64]:
    """Return how likely an access is to be by each user, the most popular one first."""
    weights = np.arange(1, users + 1, dtype=np.float64) ** -ZIPF
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def table(random: np.random.Generator, ttl: Int64s) -> Table:
    """Return a table as accesses by `trace` would have left it after a long time.

    The last access of a user is exponentially long ago, and the session is gone if that is longer
    than the TTL. What a lazy structure knows of it is spread evenly over the time it has left.
    """
    users = len(ttl)
    share = (1 - CREATED) * popularity(users) + CREATED / users
    step = int(TTL * share[-1] / LEAST_USED)
    now = LONGEST
    unused = random.exponential(step / share)
    expires = now + ttl - np.minimum(unused, ttl).astype(np.int64)
    owner_of = random.permutation(users).astype(np.int32)
    slot_of = np.empty(users, np.int32)
    slot_of[owner_of] = np.arange(users, dtype=np.int32)
    slot_of[expires <= now] = -1
    linked = np.minimum(expires, now + (random.random(users) * ttl).astype(np.int64))
    return Table(now, step, ttl, slot_of, owner_of, linked, expires)


def trace(random: np.random.Generator, users: int, operations: int) -> Int32s:
    """Return the users of so many operations; the complement of a user creates a session.

    All others are accesses with Zipf's distribution. Whether they read or update makes no
    difference to an expiry: 90 % of all would do the one and 9 % the other.
    """
    chosen = np.searchsorted(np.cumsum(popularity(users)), random.random(operations))
    found = np.minimum(chosen, users - 1).astype(np.int32)
    creates = random.random(operations) < CREATED
    found[creates] = ~random.integers(0, users, int(creates.sum()), dtype=np.int32)
    return found
