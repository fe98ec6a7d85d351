"""The log format of ``nexus serve``: one line for each record, whatever its text."""

from __future__ import annotations

import logging
import re

__all__ = ["LogFormatter"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
INDENT = "  "

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that move the cursor, end lines or change the direction of writing."""

_SECRET = re.compile(
    r"(?<![0-9A-Za-z])eyJ[\w-]{4,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<![0-9A-Za-z])kn_[0-9a-f]{16}_[\w-]+"  # an API key
    r"|(?<=[Bb]earer )[\w.~+/=-]+"
    r"|(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])"  # the id of a session
)
SHOWN = 6


class LogFormatter(logging.Formatter):
    """Escapes control characters, and shortens keys, tokens and session ids.

    Lines of a traceback are indented, so that none looks like a record of its own.
    """

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the record's line."""
        return _clean(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, and its traceback's."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        lines = [self.formatMessage(record)]
        if record.exc_info:
            lines += self._indented(self.formatException(record.exc_info))
        if record.stack_info:
            lines += self._indented(record.stack_info)
        return "\n".join(lines)

    @staticmethod
    def _indented(text: str) -> list[str]:
        return [INDENT + _clean(line) for line in text.split("\n")]


def _clean(text: str) -> str:
    return _CONTROL.sub(_escaped, _SECRET.sub(_shortened, text))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _shortened(found: re.Match[str]) -> str:
    return f"{found[0][:SHOWN]}[...]"
