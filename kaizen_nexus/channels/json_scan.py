"""How much JSON text would become, seen before it is decoded, in memory of constant size.

A few bytes of text can become a hundred of objects: ``[],`` is 3 and an empty list 56. Decoding is
therefore for texts that are known to hold few values.
"""

from __future__ import annotations

__all__ = ["JsonScan"]

WINDOW = 64 * 1024


class JsonScan:
    """Counts the values and keys of a JSON text.

    The counts are exact for valid JSON, but for one value more, or a value in each empty container;
    for anything else they are at least what a decoder would build before it notices.

    Parameters
    ----------
    text
        The text.
    """

    def __init__(self, text: bytes) -> None:
        self.values = 1
        self.keys = 0
        self._in_string = False
        self._escaped = False
        for start in range(0, len(text), WINDOW):
            self._feed(text[start : start + WINDOW])

    def _feed(self, piece: bytes) -> None:
        # Backslashes are in strings alone, so what one escapes is no matter but for quotes.
        if self._escaped:
            piece = piece[1:]
        piece = piece.replace(b"\\\\", b"")
        self._escaped = piece.endswith(b"\\")
        parts = piece.replace(b'\\"', b"").split(b'"')
        outside = b" ".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        self.keys += outside.count(b":")
        self.values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
