"""Agents and apps that need neither Kaizen nor kailash-nexus; no program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Settings:
    llm_provider: str = "mock"
    model: str = "small"
    temperature: float = 0.5
    system_prompt: str = "Answer."


class Builder:
    """What `to_workflow` returns; all builds are counted, and fail while there is an error."""

    builds = 0
    error: Exception | None = None

    def __init__(self, model: str) -> None:
        self.model = model

    def build(self) -> dict[str, Any]:
        Builder.builds += 1
        if Builder.error is not None:
            raise Builder.error
        return {"model": self.model}


@contextmanager
def failing_builds(error: Exception) -> Iterator[None]:
    Builder.error = error
    try:
        yield
    finally:
        Builder.error = None


class Agent:
    """An agent with all that the original's functions look at."""

    signature = None

    def __init__(self, **settings: Any) -> None:
        self.config = Settings(**settings)

    def to_workflow(self) -> Builder:
        return Builder(self.config.model)


class MockNexus:
    """An app that remembers what was done to it, under the name that the mixin accepts."""

    __version__ = "1.0"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.workflows: dict[str, Any] = {}

    def register(self, name: str, workflow: Any) -> None:
        if name in self.workflows:
            raise ValueError(f"{name} is registered already")
        self.calls.append(["register", name])
        self.workflows[name] = workflow

    def deregister(self, name: str) -> bool:
        self.calls.append(["deregister", name])
        return self.workflows.pop(name, None) is not None

    def start(self, **options: Any) -> dict[str, Any]:
        return {"started": True, **options}

    def stop(self) -> str:
        return "stopped"

    def health_check(self) -> dict[str, Any]:
        return {"status": "of the app"}
