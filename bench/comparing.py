"""Figures in words, and the verdict on one contender against another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.report import Row
from bench.timing import Sample

__all__ = [
    "Target",
    "compare",
    "compared",
    "duration",
    "figures",
    "judged",
    "less_than_a_million",
    "number",
    "spread",
]

MILLION = 1_000_000


@dataclass(frozen=True)
class Target:
    """How many times as long as the subject a rival should take, at least; None for any."""

    rival: str
    factor: float | None = None
    subject: str = ""
    """Whose target it is, if not the compiled core's."""

    def __str__(self) -> str:
        if self.factor is None:
            return ""
        if self.factor >= 1:
            return "no slower" if self.factor == 1 else f"{self.factor:,g}x as fast"
        return f"at most {1 / self.factor:.3g}x the time"


def compare(
    name: str,
    samples: Mapping[str, Sample],
    subject: str,
    target: Target,
    *,
    absent: Mapping[str, str],
    unjudged: str = "",
) -> Row:
    """Compare the subject with the target's rival, round by round, and judge it.

    Parameters
    ----------
    name
        What is compared.
    samples
        The seconds of each contender.
    subject
        Whose target it is.
    target
        The rival, and how much slower it should be.
    absent
        Why contenders are missing.
    unjudged
        Why the target cannot be judged in this run, if it cannot.
    """
    goal = str(target)
    if missing := [each for each in (subject, target.rival) if each not in samples]:
        return Row(name, "-", goal, None, absent.get(missing[0], "not measured"))
    own, rival = samples[subject], samples[target.rival]
    ratio = own.times(rival)
    figure = f"{compared(ratio)}; {duration(own.median)} against {duration(rival.median)}"
    if target.factor is None:
        return Row(name, figure)
    if unjudged:
        return Row(name, figure, goal, None, unjudged)
    if ratio.median >= target.factor:
        return Row(name, figure, goal, met=True)
    needed = duration(own.median * ratio.median / target.factor)
    return Row(name, figure, goal, False, f"the target amounts to {needed}")


def judged(row: Row, sessions: int) -> Row:
    """Return a row that is judged only if it was measured on as many sessions as its target says.

    Parameters
    ----------
    row
        Its reason is why it would not be met, and is dropped if it is.
    sessions
        How many it was measured on.
    """
    unfit = less_than_a_million(sessions)
    if unfit:
        return replace(row, met=None, reason=unfit)
    return replace(row, reason="") if row.met else row


def less_than_a_million(size: int) -> str:
    """Return why a target that is set for a million cannot be judged, if it cannot."""
    return "" if size >= MILLION else f"the target is for a million, and {size:,} were measured"


def figures(sample: Sample) -> dict[str, object]:
    """Return a sample for a machine to read."""
    low, high = sample.spread
    return {"median": sample.median, "quartiles": [low, high], "seconds": list(sample.seconds)}


def compared(ratio: Sample) -> str:
    """Return a ratio in words, above 1 where ours is the faster, with its quartiles."""
    if ratio.median >= 1:
        low, high = ratio.spread
        return f"{number(ratio.median)}x as fast ({number(low)} to {number(high)})"
    high, low = ratio.spread
    return f"{number(1 / ratio.median)}x the time ({number(1 / low)} to {number(1 / high)})"


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if abs(seconds) * factor < 9_999.5 / (1 if unit == "ns" else 10):
            return f"{number(seconds * factor)} {unit}"
    return f"{number(seconds)} s"


def spread(sample: Sample) -> str:
    """Return the median and the quartiles."""
    low, high = sample.spread
    return f"{duration(sample.median)} ({duration(low)} to {duration(high)})"
