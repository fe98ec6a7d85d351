"""Bodies of more than a few pages, kept where what has been read of them can be given back at once.

The allocator keeps what is freed between other things, so that a long body, and what it was decoded
to, would cost their sum. Pages of its own are returned one after the other, while it is decoded.
"""

from __future__ import annotations

import mmap

__all__ = ["BodyTooCostlyError", "BodyTooLargeError", "LargeBody"]

_PRIVATE = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)


class BodyTooLargeError(ValueError):
    """A request body is larger than the server takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, which is the limit")


class BodyTooCostlyError(BodyTooLargeError):
    """A request body would become more than the server has memory for."""

    def __init__(self) -> None:
        ValueError.__init__(
            self,
            "the body would take too much memory, of which many short strings and objects need more"
            " than their text, and a string with a character beyond U+FFFF four bytes for each of "
            "its characters: send less at a time",
        )


class LargeBody:
    """The bytes of a body, read from its beginning to its end.

    Parameters
    ----------
    capacity
        How many bytes it may have; those it does not have cost nothing.
    """

    def __init__(self, capacity: int) -> None:
        # Shared pages, Python's default, would not be free although they are given back.
        self._pages = mmap.mmap(-1, capacity, _PRIVATE) if _PRIVATE else mmap.mmap(-1, capacity)
        self._end = 0
        self._released = 0

    def __len__(self) -> int:
        return self._end

    @property
    def held(self) -> int:
        """How many bytes have not been released."""
        return self._end - self._released

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        end = self._end + len(chunk)
        self._pages[self._end : end] = chunk
        self._end = end

    def __bytes__(self) -> bytes:
        return self._pages[: self._end]

    def __getitem__(self, part: slice) -> bytes:
        return self._pages[part.start : min(part.stop, self._end)]

    def release(self, stop: int) -> None:
        """Give back what is before `stop`, which is not read again."""
        stop -= stop % mmap.PAGESIZE
        if _DONTNEED is not None and stop > self._released:
            self._pages.madvise(_DONTNEED, self._released, stop - self._released)
            self._released = stop

    def close(self) -> None:
        """Give back the rest."""
        self._pages.close()
        self._released = self._end
