"""An agent that streams: each step of its answer is sent as soon as it is there.

Serve it::

    pip install 'kaizen-nexus[serve]'
    nexus serve examples/streaming_agent.py:app

and watch it work, over HTTP or on the command line::

    curl -sN localhost:8000/api/workflows/outline/stream -d '{"text": "One. Two words. Three."}'
    nexus run outline --text "One. Two words. Three." --stream

Whoever does not stream is answered with all steps at once::

    nexus run outline --text "One. Two words. Three."
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel


@dataclass
class Sentence:
    """What is known of one sentence."""

    number: int
    words: int
    text: str


async def outline(
    text: str, pause: float = 0.0, session: CrossChannelSession | None = None
) -> AsyncIterator[Sentence]:
    """Go through a text sentence by sentence, and say how long each is."""
    read = 0
    try:
        for number, sentence in enumerate(re.split(r"(?<=[.!?])\s+", text.strip()), 1):
            await asyncio.sleep(pause)  # here a model would be asked
            read = number
            yield Sentence(number, len(sentence.split()), sentence)
    finally:
        # Runs once, however the stream ends: a reader who leaves half-way has read this far.
        if session is not None:
            session.update_state({"sentences_read": read})


app = Nexus(auto_discovery=False)
deploy_multi_channel(outline, app, "outline")


if __name__ == "__main__":
    app.start()
