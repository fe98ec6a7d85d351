"""The same agent behind LitServe: ``python litserve_agent.py PORT``.

It reads the annotations as they are, so they must not be text: nothing is imported for that here.
"""

import sys
from typing import Literal

import litserve
from pydantic import BaseModel


class Question(BaseModel):
    """What is asked."""

    query: str
    times: int = 1
    style: Literal["short", "long"] = "short"


class Agent(litserve.LitAPI):
    """Answers at once."""

    def setup(self, device: str) -> None:
        """Load nothing."""

    def decode_request(self, request: Question) -> Question:
        """Return the question as it is."""
        return request

    def predict(self, x: Question) -> dict[str, object]:
        """Answer."""
        return {"answer": f"{x.query} ({x.style})", "times": x.times}

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        """Return the answer as it is."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Agent(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="critical",
        access_log=False,
        generate_client_file=False,
    )
