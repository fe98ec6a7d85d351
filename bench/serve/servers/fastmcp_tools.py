"""The same tools behind FastMCP, over HTTP; BENCH_AGENTS says how many there are."""

import os
from typing import Literal

from fastmcp import FastMCP

server = FastMCP("bench")


def answer(
    query: str, times: int = 1, style: Literal["short", "long"] = "short"
) -> dict[str, object]:
    """Answer at once."""
    return {"answer": f"{query} ({style})", "times": times}


for number in range(int(os.environ.get("BENCH_AGENTS", "1"))):
    server.tool(answer, name=f"answer_{number}")

app = server.http_app(json_response=True, stateless_http=True)
