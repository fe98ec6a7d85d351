"""An agent that answers questions from a folder of Markdown files, without any network.

It finds the passage that fits a question best (BM25), and remembers the conversation in the
session: a question that continues the last one, such as "and how do I clear it?", is understood in
its context, on whichever channel it arrives.

Serve it::

    nexus serve examples/docs_assistant.py:app

and ask it, over HTTP or on the command line::

    curl -s localhost:8000/api/workflows/assistant/execute -d '{"query": "What is a session TTL?"}'
    nexus run assistant --query "What is a session TTL?" --session new
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import bm25s

from kaizen_nexus import BaseAgent, CrossChannelSession, Nexus, deploy_multi_channel

DOCS = Path(__file__).resolve().parent.parent / "docs"

HEADING = re.compile(r"^(?P<level>#{1,6})\s+(?P<title>.+?)\s*$")
FENCE = re.compile(r"^\s*(```|~~~)")
REFERS_BACK = re.compile(
    r"\b(it|its|that|this|they|them|those|there)\b|^(and|what about)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AssistantConfig:
    """What shapes the assistant; all of it enters the deployment cache's key."""

    folder: str = str(DOCS)
    model: str = "bm25"
    max_passage: int = 1_200
    """Characters of an answer."""


@dataclass(frozen=True)
class Passage:
    """One section of one file."""

    source: str
    headings: tuple[str, ...]
    """From the title of the file down to the section's own heading."""
    text: str

    @property
    def title(self) -> str:
        """The section's own heading."""
        return self.headings[-1]


@dataclass(frozen=True)
class Answer:
    """What the assistant found."""

    answer: str
    source: str
    title: str
    score: float
    turn: int


class DocsAssistant(BaseAgent):
    """Answers questions from a folder of Markdown files."""

    def __init__(self, config: AssistantConfig) -> None:
        super().__init__(config)
        self.passages = list(read_passages(Path(config.folder)))
        if not self.passages:
            raise ValueError(f"there is no Markdown file with text in {config.folder}")
        self.index = bm25s.BM25()
        self.index.index(
            bm25s.tokenize(
                [f"{' '.join(p.headings)} {p.title} {p.text}" for p in self.passages],
                show_progress=False,
            ),
            show_progress=False,
        )

    def process(
        self,
        query: Annotated[str, "What to look for, in plain words"],
        context: Mapping[str, Any] | None = None,
        session: CrossChannelSession | None = None,
    ) -> Answer:
        """Return the passage that answers `query` best.

        Parameters
        ----------
        query
            The question.
        context
            The session's state: which question came before.
        session
            Where this question is remembered.
        """
        known = context or {}
        topic = str(known.get("topic", ""))
        turn = int(known.get("turns", 0)) + 1
        passage, score = self.search(f"{topic} {query}" if REFERS_BACK.search(query) else query)
        if session is not None:
            # What the conversation is about: the part of the document that the answer is from.
            session.update_state({"topic": " ".join(passage.headings[1:-1]), "turns": turn})
        return Answer(
            passage.text[: self.config.max_passage],
            passage.source,
            passage.title,
            round(score, 3),
            turn,
        )

    def search(self, words: str) -> tuple[Passage, float]:
        """Return the passage that fits `words` best, and its score: 0 if none of them occurs."""
        tokens = bm25s.tokenize([words], show_progress=False)
        documents, scores = self.index.retrieve(tokens, k=1, show_progress=False)
        score = float(scores[0, 0])
        return (self.passages[int(documents[0, 0])], score) if score > 0 else (NOTHING, 0.0)


NOTHING = Passage("", ("",), "Nothing in the documents answers that.")


def read_passages(folder: Path) -> Iterator[Passage]:
    """Yield the sections of all Markdown files below `folder` that have a text of their own."""
    for path in sorted(folder.rglob("*.md")):
        headings: list[str] = [path.stem]
        lines: list[str] = []
        fenced = False
        for line in [*path.read_text(encoding="utf-8").splitlines(), "# end"]:
            fenced ^= FENCE.match(line) is not None
            heading = None if fenced else HEADING.match(line)
            if heading is None:
                lines.append(line)
                continue
            text = "\n".join(lines).strip()
            if text:
                yield Passage(path.relative_to(folder).as_posix(), tuple(headings), text)
            lines = []
            headings = [*headings[: len(heading["level"])], heading["title"]]


app = Nexus(auto_discovery=False)
deploy_multi_channel(DocsAssistant(AssistantConfig()), app, "assistant")
