"""Answers in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response

__all__ = ["json_response"]


def json_response(
    content: Any,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    enc_hook: Callable[[Any], Any] | None = None,
) -> Response:
    """Return `content` as a JSON response; `enc_hook` is given each value without a JSON form."""
    return Response(
        msgspec.json.encode(content, enc_hook=enc_hook),
        status_code=status_code,
        headers=headers,
        media_type="application/json",
    )
