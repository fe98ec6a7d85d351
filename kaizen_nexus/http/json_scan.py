"""How much JSON text would become, seen before it is decoded, and its long strings apart from it.

A few bytes of text can become a hundred of objects: ``[],`` is 3 and an empty list 56, and one
character makes a string four times as long. Decoding is therefore for texts that are known to
become little. Long strings are decoded here, one piece after the other, and what was read of the
text is released meanwhile; so the two are never there as a whole at the same time.
"""

from __future__ import annotations

import itertools
import secrets
from typing import Any

import msgspec

from kaizen_nexus.http.large_body import BodyTooCostlyError, LargeBody

__all__ = ["LONG", "MAX_VALUES", "JsonScan", "TooManyValuesError"]

MAX_VALUES = 65_536
WINDOW = 64 * 1024
LONG = 256
"""Bytes from which on a string is long."""

_MARK = secrets.token_urlsafe(24)
"""What stands for long strings, followed by a number; nobody else can know it."""

_WIDTHS = (1, 1, 2, 4)
"""Bytes of a character in a string of ASCII, Latin-1, the rest of the basic plane, and beyond."""
_LONGEST = len("\\ud83d\\ude00")
"""Bytes that one character can take."""
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_BEYOND_LATIN = bytes(range(0xC4, 0xF8))
_BEYOND_BMP = bytes(range(0xF0, 0xF8))
_HIGH = frozenset({b"ud8", b"ud9", b"uda", b"udb"})
"""How the escapes begin that need another one behind them."""
_OF_VALUE, _OF_STRING, _OF_OBJECT, _OF_KEY, _OF_NEW_KEY = 32, 56, 216, 24, 48
"""Bytes that each takes in memory besides its text."""
_MAX_KEYS = 256
"""How many keys are remembered; msgspec remembers more, and makes no other string for them."""
_MAX_KEY = 32

_STRINGS = msgspec.json.Decoder(str)


class TooManyValuesError(ValueError):
    """A JSON text has more than 65,536 values."""

    def __init__(self) -> None:
        super().__init__(f"JSON with more than {MAX_VALUES} values")


class JsonScan:
    """The values, keys and long strings of a JSON text.

    The counts are exact for valid JSON, but for one value more, or a value in each empty container;
    for anything else they are at least what a decoder would build before it notices.

    Parameters
    ----------
    text
        The text; of a `LargeBody`, nothing is left.
    budget
        Bytes of memory that the text and what it becomes may take; None for any number.

    Raises
    ------
    TooManyValuesError
        There are more than 65,536.
    BodyTooCostlyError
        The budget is too little.
    msgspec.DecodeError, UnicodeDecodeError
        A long string is malformed.
    """

    def __init__(self, text: bytes | LargeBody, budget: int | None = None) -> None:
        self.values = 1
        self.keys = 0
        self.rest = bytearray()
        """The text, with something short in place of each long string; see `restore`."""
        self._text = text
        self._budget = budget
        self._strings: list[str] = []
        self._known: set[bytes] = set()
        self._taken = 0
        self._opened: int | None = None
        """Where the string begins that is being read, if one is."""
        self._done = 0
        start, end = 0, len(text)
        try:
            while start < end:
                start += self._feed(start, start + WINDOW < end)
            if self._opened is not None:
                self.rest += b'"'  # it is no JSON without what was to close it, either
        finally:
            if isinstance(text, LargeBody):
                text.close()

    def restore(self, value: Any) -> Any:
        """Return a value that was decoded from `rest` with the long strings in their places.

        Raises
        ------
        KeyError
            An object has a long key twice.
        """
        if not self._strings:
            return value
        root = [value]
        pending: list[Any] = [root]
        while pending:
            container = pending.pop()
            if isinstance(container, list):
                places: Any = enumerate(container)
            else:
                self._restore_keys(container)
                places = container.items()
            for place, held in places:
                if isinstance(held, str):
                    if held.startswith(_MARK):
                        container[place] = self._strings[int(held[len(_MARK) :])]
                elif isinstance(held, (dict, list)):
                    pending.append(held)
        return root[0]

    def _restore_keys(self, members: dict[str, Any]) -> None:
        if not any(key.startswith(_MARK) for key in members):
            return
        items = list(members.items())
        members.clear()
        for key, value in items:
            long = key.startswith(_MARK)
            members[self._strings[int(key[len(_MARK) :])] if long else key] = value
        if len(members) != len(items):
            raise KeyError

    def _feed(self, start: int, more: bool) -> int:
        """Read what is in one window, and return how much that is."""
        piece = self._text[start : start + WINDOW]
        # Backslashes are in strings alone, so what one escapes is no matter but for quotes.
        clean = piece.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        if more and clean.endswith(b"\\"):
            piece, clean = piece[:-1], clean[:-1]
        parts = clean.split(b'"')
        inside = self._opened is not None
        outside = b" ".join(parts[inside::2])
        objects = outside.count(b"{")
        keys = outside.count(b":")
        values = outside.count(b",") + outside.count(b"[") + objects
        self.keys += keys
        self.values += values
        if self.values > MAX_VALUES:
            raise TooManyValuesError
        self._taken += values * _OF_VALUE + keys * _OF_KEY + objects * _OF_OBJECT
        position = start
        for part, following in itertools.pairwise(parts):
            position += len(part)
            if self._opened is None:
                self._opened = position
            else:
                if position - self._opened > LONG:
                    self._take_string(self._opened, position)
                elif not self._is_known(part, following):
                    self._taken += _OF_STRING
                self._opened = None
            position += 1
        self._take_rest(start + len(piece) if self._opened is None else self._opened)
        return len(piece)

    def _is_known(self, string: bytes, following: bytes) -> bool:
        """Whether a string is a key that came before."""
        if following[:1] != b":" or len(string) > _MAX_KEY or b"__" in string:
            return False
        if string in self._known:
            return True
        self._taken += _OF_NEW_KEY
        if len(self._known) < _MAX_KEYS:
            self._known.add(string)
        return False

    def _take_rest(self, stop: int) -> None:
        """Keep what is not of a long string, up to `stop`."""
        if stop > self._done:
            piece = self.piece(self._done, stop)
            self.rest += piece
            self._done = stop
            self._taken += len(piece) + _size(piece)
            self.check()

    def _take_string(self, opened: int, closed: int) -> None:
        self._take_rest(opened)
        self.rest += b'"%b%d"' % (_MARK.encode(), len(self._strings))
        self._strings.append(self._decode(opened + 1, closed))
        self._done = closed + 1

    def _decode(self, start: int, stop: int) -> str:
        """Return the string whose text is between two quotes."""
        pieces = _Pieces(self, start, stop)
        string = pieces.joined()
        self._taken += pieces.memory
        return string

    def piece(self, start: int, stop: int) -> bytes:
        """Return a part of the text, and release what is before it."""
        if isinstance(self._text, LargeBody):
            self._text.release(start)
        return self._text[start:stop]

    def check(self, more: int = 0) -> None:
        """Refuse to take `more` memory than there is."""
        if self._budget is not None:
            held = self._text.held if isinstance(self._text, LargeBody) else 0
            if held + self._taken + more > self._budget:
                raise BodyTooCostlyError


class _Pieces:
    """A long string, decoded piece by piece: what is asked for each character to translate it.

    That is the one way of Python's to put a string together without having all of it twice, as it
    is with `str.join` and `io.StringIO`.
    """

    _FIRST = 0x100
    """Characters of ASCII would be asked for twice."""

    def __init__(self, scan: JsonScan, start: int, stop: int) -> None:
        self._scan = scan
        self._start = start
        self._stop = stop
        self._length = self._width = 0

    @property
    def memory(self) -> int:
        """How many bytes the string has so far."""
        return self._length * _WIDTHS[self._width]

    def joined(self) -> str:
        number = 1 + (self._stop - self._start) // (WINDOW - _LONGEST)
        return (chr(self._FIRST) * number).translate(self)

    def __getitem__(self, _: int) -> str:
        stop = min(self._start + WINDOW, self._stop)
        text = self._scan.piece(self._start, stop)
        if stop < self._stop:
            text = text[: _boundary(text)]
        self._start += len(text)
        string = _STRINGS.decode(b'"%b"' % text)
        width = max(self._width, _width(string))
        copied = self.memory if width > self._width else 0
        self._width, self._length = width, self._length + len(string)
        self._scan.check(self.memory + copied)
        return string


def _boundary(piece: bytes) -> int:
    """Return where a piece of a string's text can be cut, near its end: between two characters."""
    last = piece.rfind(b"\\", len(piece) - _LONGEST + 1)
    if last >= 0:
        if not _is_escape(piece, last):
            return last + 1
        high = last - len("\\ud83d")
        is_pair = piece[high + 1 : high + 4].lower() in _HIGH and _is_escape(piece, high)
        return high if is_pair else last
    for end in range(len(piece) - 1, len(piece) - 5, -1):
        if piece[end] not in _CONTINUATIONS:
            return end
    return len(piece)  # what is no UTF-8 anyway


def _is_escape(piece: bytes, at: int) -> bool:
    """Whether the backslash at a place is none that is itself escaped."""
    return (at - len(piece[:at].rstrip(b"\\"))) % 2 == 0


def _size(piece: bytes) -> int:
    """Return what the short strings in a text take, at the most."""
    width = 1
    if b"\\u" in piece or not piece.isascii():
        beyond_bmp = b"\\ud" in piece.lower() or _has_one_of(_BEYOND_BMP, piece)
        beyond_latin = b"\\u" in piece or _has_one_of(_BEYOND_LATIN, piece)
        width = 4 if beyond_bmp else 2 if beyond_latin else 1
    characters = len(piece.translate(None, _CONTINUATIONS)) - 5 * piece.count(b"\\u")
    return characters * width


def _has_one_of(these: bytes, text: bytes) -> bool:
    return len(text.translate(None, these)) < len(text)


def _width(string: str) -> int:
    """Return which of `_WIDTHS` a string has."""
    if string.isascii():
        return 0
    try:
        string.encode("latin-1")
    except UnicodeEncodeError:
        return 2 if len(string.encode("utf-16-le")) == 2 * len(string) else 3
    return 1
