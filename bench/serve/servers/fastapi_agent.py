"""The same agents behind FastAPI, with pydantic for the same checks; no session, no metrics."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel


class Question(BaseModel):
    """What is asked."""

    query: str
    times: int = 1
    style: Literal["short", "long"] = "short"


class Reading(BaseModel):
    """What is asked about many documents."""

    query: str
    documents: list[str]


class Writing(BaseModel):
    """What is asked for many documents."""

    query: str


class Answer(BaseModel):
    """What is answered."""

    answer: str
    times: int


class Documents(BaseModel):
    """A long answer."""

    answer: str
    documents: list[str]


app = FastAPI()
PAGES = ["a page of a document. " * 45] * 1_000


@app.post("/answer_0")
async def answer(question: Question) -> Answer:
    """Answer at once."""
    return Answer(answer=f"{question.query} ({question.style})", times=question.times)


@app.post("/sleeping")
async def sleeping(question: Question) -> Answer:
    """Answer after a millisecond."""
    await asyncio.sleep(0.001)
    return Answer(answer=f"{question.query} ({question.style})", times=question.times)


@app.post("/blocking")
def blocking(question: Question) -> Answer:
    """Answer at once, but not on the event loop."""
    return Answer(answer=f"{question.query} ({question.style})", times=question.times)


@app.post("/reading")
async def reading(question: Reading) -> Answer:
    """Read a megabyte."""
    return Answer(answer=f"{question.query} (long)", times=len(question.documents))


@app.post("/writing")
async def writing(question: Writing) -> Documents:
    """Write a megabyte."""
    return Documents(answer=f"{question.query} (long)", documents=PAGES)
