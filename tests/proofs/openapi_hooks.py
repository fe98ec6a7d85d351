"""What schemathesis loads.

A key that comes twice, with different inputs, is refused although the description allows each; so
is a version that a session's state does not have.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis

from kaizen_nexus.http.conditions import TAGS_PATTERN

KEY = "Idempotency-Key"
CONDITIONS = ("If-Match", "If-None-Match")
seen: set[str] = set()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Use each idempotency key once, and conditions only where they are malformed."""
    for name in CONDITIONS:
        value = (case.headers or {}).get(name)
        # The number is what stands for any header, whatever its schema.
        if value is not None and (value == "0" or re.search(TAGS_PATTERN, str(value))):
            del case.headers[name]
    header = (case.headers or {}).get(KEY)
    if header is None:
        return
    key = header.strip(' \t"').replace("\\", "")  # one key can be written in several ways
    if key in seen:
        del case.headers[KEY]
    seen.add(key)
