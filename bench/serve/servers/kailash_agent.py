"""The same agent behind kailash-nexus, as its documentation says: ``python kailash_agent.py PORT``.

Its rate limit is off, nothing is logged, and no request is written to disk, all of that in its
favour; the rest is as it comes.
"""

from __future__ import annotations

import logging
import sys

from nexus import Nexus

logging.disable(logging.CRITICAL)
port = int(sys.argv[1])
app = Nexus(api_port=port, mcp_port=int(sys.argv[2]), rate_limit=None, enable_durability=False)


@app.handler("answer", description="Answer at once.")
async def answer(query: str, times: int = 1, style: str = "short") -> dict[str, object]:
    """Answer at once."""
    return {"answer": f"{query} ({style})", "times": times}


if __name__ == "__main__":
    app.start()
