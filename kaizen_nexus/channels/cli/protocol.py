"""What the endpoint and the ``nexus run`` client agree on.

Imports nothing: the client is a process that starts for one request, and pays for every import.
"""

PATH = "/cli/run"
STREAM_TYPE = "application/jsonl"
"""The media type of an answer that is to be printed line by line, while it arrives."""
DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 300
"""Seconds."""

EXIT_OK = 0
EXIT_AGENT_FAILED = 1
EXIT_USAGE = 2
"""Bad usage, or inputs that the workflow does not take."""
EXIT_UNREACHABLE = 3
"""No server, one that is not kaizen-nexus, or no answer in time."""
EXIT_NOT_FOUND = 4
"""No such workflow, or no such session."""
EXIT_REFUSED = 5
"""The server has reached a limit, or does not let the caller in."""
