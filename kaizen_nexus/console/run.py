"""``nexus run``: send the command line to the server, and print what it answers.

The process lives for one request, so it imports as little as possible. The server knows what a
workflow takes: it parses the command line, and renders help.
"""

from __future__ import annotations

import errno
import json
import os
import sys

from kaizen_nexus.channels.cli.protocol import (
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    PATH,
    STREAM_TYPE,
)
from kaizen_nexus.channels.cli.transport import (
    KEPT_OUT,
    BadUrlError,
    NoAnswerError,
    UnreachableError,
    request,
)
from kaizen_nexus.console.arguments import (
    UsageError,
    check_text,
    fill_in_stdin,
    split_arguments,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

__all__ = ["ask", "main", "unreachable"]

EXIT_UNWRITTEN = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
MAX_EXIT_CODE = 255
DEFAULT_COLUMNS = 80

OK = 200
FIRST_REDIRECT, FIRST_CLIENT_ERROR, FIRST_SERVER_ERROR = 300, 400, 500
MISUSED = frozenset({400, 413, 415, 422})
"""Statuses for a wrong request: too large, or of another protocol version."""

HELP = f"""\
Usage: nexus run NAME [OPTIONS]

  Run a deployed workflow on a server and print its result.

  'nexus run NAME --help' shows what a workflow takes; 'nexus list' shows what
  is deployed.

Options:
  --url URL          The server.  [default: $NEXUS_URL, or {DEFAULT_URL}]
  --timeout SECONDS  How long to wait for the result.  [default: {DEFAULT_TIMEOUT}]
  -h, --help         Show this message and exit.

Exit codes:
  0    The result is on standard output; everything else is on standard error.
  1    The agent failed, or the output could not be written.
  2    Bad usage, or inputs that the workflow does not take.
  3    No server, one that is not kaizen-nexus, or no answer in time.
  4    No such workflow, or no such session.
  5    The server refused: it has reached a limit, or does not let you in.
  130  Interrupted by Ctrl-C.
  141  Whatever read the output stopped reading.
"""


def main(arguments: list[str]) -> int:
    """Run ``nexus run`` with `arguments`, the command line after ``run``.

    Returns
    -------
    int
        The exit code.
    """
    try:
        return _run(arguments)
    except UnprintedError as error:
        return error.exit_code
    except (BadUrlError, UsageError) as error:
        _complain(f"Error: {error}\nTry 'nexus run --help' for help.\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        _complain("Interrupted.\n")
        return EXIT_INTERRUPTED


class UnprintedError(Exception):
    """Standard output could not be written: its reader is gone, or the disk is full."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def ask(
    url: str,
    call: dict[str, Any],
    timeout: float,
    show: Callable[[str], None] = lambda _: None,
) -> tuple[int, str, str]:
    """Send `call` to the server at `url`, and return exit code, standard output and error.

    Parameters
    ----------
    url
        The server.
    call
        The command line, as the server takes it.
    timeout
        Seconds until the last of the answer.
    show
        Takes text for standard output as soon as it arrives, if the answer is streamed.

    Raises
    ------
    BadUrlError
        The URL cannot be used.
    UnreachableError
        No answer came in `timeout` seconds.
    """

    def on_line(line: bytes) -> bool:
        part = _fields(line)
        text = part.get("stdout")
        if "exit_code" in part or not isinstance(text, str):
            return False
        show(text)
        return True

    body = json.dumps(call).encode()
    reply = request("POST", url, PATH, body, timeout=timeout, lines={STREAM_TYPE: on_line})
    fields = _fields(reply.body)
    if reply.status != OK:
        failure, message = _refusal(reply.status, reply.headers.get("location", ""), url)
        detail = fields.get("detail")
        return failure, "", f"Error: {message}" + (f": {detail}\n" if detail else ".\n")
    code, out, err = (fields.get(key) for key in ("exit_code", "stdout", "stderr"))
    if not isinstance(code, int) or not isinstance(out, str) or not isinstance(err, str):
        return EXIT_UNREACHABLE, "", unreachable(url, "what answers there is another program")
    return min(max(code, EXIT_OK), MAX_EXIT_CODE), out, err


def unreachable(url: str, reason: str) -> str:
    """Return the message for a server that cannot be reached: why, and what to do about it."""
    return (
        f"Error: no kaizen-nexus server at {url}: {reason}.\n"
        "Start one with 'nexus serve module:app', or name another with --url or NEXUS_URL.\n"
    )


def _fields(text: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; none if it is not one."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {}


def _run(arguments: list[str]) -> int:
    url, timeout, argv = split_arguments(arguments)
    if argv[:1] in (["--help"], ["-h"]):
        _print(HELP)
        return EXIT_OK
    if not argv or argv[0].startswith("-"):
        _complain(f"{HELP}\nError: the name of a workflow comes first.\n")
        return EXIT_USAGE
    check_text(argv)
    call = {"argv": fill_in_stdin(argv), "columns": _columns(), "color": _in_color()}
    call["streams"] = True
    try:
        code, out, err = ask(url, call, timeout, _print)
    except NoAnswerError as error:
        _complain(
            f"Error: {error} from {url}: the workflow may still be running there. "
            "Wait longer with --timeout SECONDS.\n"
        )
        return EXIT_UNREACHABLE
    except UnreachableError as error:
        _complain(unreachable(url, str(error)))
        return EXIT_UNREACHABLE
    try:
        _print(out)
    finally:
        _complain(err)
    return code


def _refusal(status: int, location: str, url: str) -> tuple[int, str]:
    """Return the exit code and the message for a status other than 200."""
    if FIRST_REDIRECT <= status < FIRST_CLIENT_ERROR:
        target = location.removesuffix(PATH)
        return EXIT_UNREACHABLE, f"{url} has moved: give --url {target or 'its new address'}"
    if status in MISUSED:
        return EXIT_USAGE, f"the server at {url} does not take this command line"
    if status in KEPT_OUT or status >= FIRST_SERVER_ERROR:
        return EXIT_REFUSED, f"the server at {url} refused with HTTP status {status}"
    message = f"{url} is not a kaizen-nexus server: it answered with HTTP status {status}"
    return EXIT_UNREACHABLE, message


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and len(columns) < len("10000"):
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or DEFAULT_COLUMNS
    except OSError:
        return DEFAULT_COLUMNS


def _in_color() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stderr is not None and sys.stderr.isatty()


def _print(text: str) -> None:
    """Write `text` to standard output.

    Raises
    ------
    UnprintedError
        It could not be written.
    """
    try:
        _write(sys.stdout, text)
    except OSError as error:
        # The interpreter writes the rest of the buffer at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise UnprintedError(EXIT_BROKEN_PIPE) from None
        _complain(f"Error: cannot write to standard output: {error.strerror}.\n")
        raise UnprintedError(EXIT_UNWRITTEN) from None


def _complain(text: str) -> None:
    try:
        _write(sys.stderr, text)
    except OSError:
        # Only the exit code can still report this.
        return


def _write(stream: TextIO | None, text: str) -> None:
    """Write and flush `text`; characters that the stream's encoding lacks are escaped."""
    if stream is None or not text:
        return
    data = memoryview(text.encode(stream.encoding or "utf-8", "backslashreplace"))
    stream.flush()
    while data:
        # With PYTHONUNBUFFERED this is the file itself, which may write a part, or nothing if it
        # must not block; the text layer would then lose the rest silently.
        written = stream.buffer.write(data)
        if written is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data = data[written:]
    stream.buffer.flush()
