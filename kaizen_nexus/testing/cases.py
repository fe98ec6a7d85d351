"""Which calls are made of a workflow: those that should succeed, and those that should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kaizen_nexus.testing.catalogue import Deployed
from kaizen_nexus.testing.inputs import GivenInputs
from kaizen_nexus.testing.outcome import identical
from kaizen_nexus.testing.samples import NoSampleError, Sampler

__all__ = ["UNKNOWN", "Case", "cases_of", "refusals_of"]

UNKNOWN = "nexus-check-unknown"
"""A name and a session id that no app has."""
_UNKNOWN_INPUT = "nexus_check_unknown"
DERIVED = "derived from the schema"


@dataclass(frozen=True)
class Case:
    """Inputs to give on every channel."""

    name: str
    inputs: dict[str, Any]
    origin: str = DERIVED
    session: str | None = None


def cases_of(workflow: Deployed, given: Sequence[GivenInputs]) -> list[Case]:
    """Return the calls to compare results of: the given ones, or else such as the schema allows.

    Raises
    ------
    NoSampleError
        None are given, and none can be derived.
    """
    if given:
        return [
            Case(f"inputs {number}", each.inputs, each.place)
            for number, each in enumerate(given, start=1)
        ]
    sampler = Sampler(workflow.input_schema)
    least, most = sampler.required_only(), sampler.everything()
    cases = [Case("required inputs" if least else "no inputs", least)]
    if not identical(least, most):
        cases.append(Case("all inputs", most))
    return cases


def refusals_of(workflow: Deployed, valid: dict[str, Any] | None) -> list[Case]:
    """Return the calls to compare problems of.

    Parameters
    ----------
    workflow
        What is called.
    valid
        Inputs that it takes, if any are known.
    """
    schema = workflow.input_schema
    cases = []
    if valid is not None:
        missing = next((name for name in schema.get("required", ()) if name in valid), None)
        if missing is not None:
            rest = {name: value for name, value in valid.items() if name != missing}
            cases.append(Case(f"without {missing}", rest))
        cases.append(Case("unknown session", valid, session=UNKNOWN))
    wrong = Sampler(schema).wrong()
    if wrong is not None and (valid is not None or not schema.get("required")):
        name, value = wrong
        cases.append(Case(f"wrong {name}", {**(valid or {}), name: value}))
    if valid is not None and schema.get("additionalProperties") is False:
        cases.append(Case("unknown input", {**valid, _UNKNOWN_INPUT: 1}))
    return cases


def valid_inputs(workflow: Deployed, cases: Sequence[Case]) -> dict[str, Any] | None:
    """Return inputs that `workflow` should take: derived ones, or else the first of `cases`."""
    try:
        return Sampler(workflow.input_schema).required_only()
    except NoSampleError:
        return cases[0].inputs if cases else None
