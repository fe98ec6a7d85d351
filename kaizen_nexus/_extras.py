"""One error message for every missing optional dependency."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["missing_extra"]


def missing_extra(feature: str, extra: str, cause: ImportError) -> NoReturn:
    """Raise an ImportError that says how to install what `feature` needs.

    Parameters
    ----------
    feature
        What the caller wanted, as the subject of a sentence.
    extra
        The name of the extra that provides it.
    cause
        The original error; it stays attached as the cause.

    Raises
    ------
    ImportError
        Always.
    """
    module = cause.name or "a module"
    message = (
        f"{feature} needs {module}, which is not installed; "
        f"run: pip install 'kaizen-nexus[{extra}]'"
    )
    raise ImportError(message, name=cause.name) from cause
