"""What schemathesis loads.

A key that comes twice, with different inputs, is refused although the description allows each.
"""

from __future__ import annotations

from typing import Any

import schemathesis

KEY = "Idempotency-Key"
seen: set[str] = set()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Use each idempotency key once."""
    key = (case.headers or {}).get(KEY)
    if key is None:
        return
    if key in seen:
        del case.headers[KEY]
    seen.add(key)
