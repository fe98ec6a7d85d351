"""The same agent behind FastAPI, with pydantic for the same checks; no session, no metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel


class Question(BaseModel):
    """What is asked."""

    query: str
    times: int = 1
    style: Literal["short", "long"] = "short"


class Answer(BaseModel):
    """What is answered."""

    answer: str
    times: int


app = FastAPI()


@app.post("/answer")
async def answer(question: Question) -> Answer:
    """Answer at once."""
    return Answer(answer=f"{question.query} ({question.style})", times=question.times)
