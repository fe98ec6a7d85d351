"""Operations that contenders are timed at, and what is said about the times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.core.contenders import COMPILED, Call
from bench.core.scale import Scale
from bench.report import Row, Section
from bench.timing import Run, Sample, take_turns

__all__ = [
    "EMPTY_CALL",
    "Operation",
    "Part",
    "Target",
    "clock_reads",
    "compared",
    "duration",
    "figures",
    "less_than_a_million",
    "measured",
    "spread",
]

AT_LEAST = 0.005
"""Seconds that a measurement lasts, if one repetition does not last longer."""
MILLION = 1_000_000
BUDGET = 0.8
"""Seconds per round that an operation may take, all contenders together."""


@dataclass(frozen=True)
class Target:
    """How many times as long as ours a rival should take, at least."""

    rival: str
    factor: float

    def __str__(self) -> str:
        if self.factor >= 1:
            return "no slower" if self.factor == 1 else f"{self.factor:,g}x as fast"
        return f"at most {1 / self.factor:g}x the time"


@dataclass(frozen=True)
class Part:
    """Something that the operation cannot do without, timed beside it to explain a miss."""

    words: str
    run: Run
    without: Run | None = None
    """What to subtract: the call that the part was measured in."""
    times: int = 1


EMPTY_CALL = Part("an empty call of a compiled method", Call("text.isascii()", {"text": "a"}).run())


def clock_reads(number: int) -> Part:
    """Return the part of reading a monotonic clock so many times."""
    from time import perf_counter_ns

    words = "a clock read" if number == 1 else f"{number} clock reads"
    return Part(words, Call("clock()", {"clock": perf_counter_ns}).run(), EMPTY_CALL.run, number)


@dataclass(frozen=True)
class Operation:
    """What is timed: the compiled contender and its rivals at one task."""

    name: str
    runs: Mapping[str, Run]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Why other contenders are missing."""
    targets: Sequence[Target] = ()
    parts: Sequence[Part] = ()
    per: int = 1
    """How many values one repetition handles: figures are for one of them."""
    unjudged: str = ""
    """Why its targets cannot be judged in this run, if they cannot."""
    subject: str = COMPILED

    def measure(
        self, scale: Scale, say: Callable[[str], None]
    ) -> tuple[list[Row], dict[str, object]]:
        """Time all contenders and the parts, and return what there is to say about it.

        Returns
        -------
        list
            The subject's own time, then one row for each rival.
        dict
            The seconds of each contender, and of the parts, for a machine to read.
        """
        say(self.name)
        runs = {**self.runs, **self._part_runs()}
        samples = take_turns(runs, scale.rounds, AT_LEAST, BUDGET * scale.rounds)
        times = {
            name: Sample(tuple(seconds / self.per for seconds in samples[name].seconds))
            for name in self.runs
        }
        parts = [(p.words, self._seconds(p, samples) / self.per) for p in self.parts]
        data: dict[str, object] = {
            "contenders": {name: figures(sample) for name, sample in times.items()},
            "parts": dict(parts),
        }
        return self._rows(times, parts), data

    def _part_runs(self) -> dict[str, Run]:
        runs = {f"part: {part.words}": part.run for part in self.parts}
        for part in self.parts:
            if part.without is not None:
                runs[f"without: {part.words}"] = part.without
        return runs

    @staticmethod
    def _seconds(part: Part, samples: Mapping[str, Sample]) -> float:
        whole = samples[f"part: {part.words}"].median
        if part.without is not None:
            whole -= samples[f"without: {part.words}"].median
        return max(whole, 0.0) * part.times

    def _rows(self, times: Mapping[str, Sample], parts: Sequence[tuple[str, float]]) -> list[Row]:
        own = times.get(self.subject)
        targets = {target.rival: target for target in self.targets}
        rows = [] if own is None else [Row(self.name, spread(own))]
        for rival in [*self.runs, *(name for name in targets if name not in self.runs)]:
            if rival == self.subject:
                continue
            target = targets.get(rival)
            name = f"{self.name}: against {rival}"
            if own is None or rival not in times:
                reason = self.absent.get(self.subject if own is None else rival, "not measured")
                rows.append(Row(name, "-", "" if target is None else str(target), None, reason))
            else:
                rows.append(self._compared(name, own, times[rival], target, parts))
        return rows

    def _compared(
        self,
        name: str,
        own: Sample,
        rival: Sample,
        target: Target | None,
        parts: Sequence[tuple[str, float]],
    ) -> Row:
        ratio = own.times(rival)
        figure = f"{compared(ratio)}; {duration(rival.median)}"
        if target is None:
            return Row(name, figure)
        if self.unjudged:
            return Row(name, figure, str(target), None, self.unjudged)
        met = ratio.median >= target.factor
        goal = own.median * ratio.median / target.factor
        reason = "" if met else self._reason(own.median, goal, parts)
        return Row(name, figure, str(target), met, reason)

    @staticmethod
    def _reason(own: float, goal: float, parts: Sequence[tuple[str, float]]) -> str:
        """Return what, as measured in this run, stands between the time and the goal."""
        text = f"the target amounts to {duration(goal)}, {duration(own)} were measured"
        if not parts:
            return text
        sum_of_parts = sum(seconds for _, seconds in parts)
        listed = ", ".join(f"{words} {duration(seconds)}" for words, seconds in parts)
        text += f"; timed alone beside it: {listed}"
        if len(parts) > 1:
            text += f", together {duration(sum_of_parts)}"
        if sum_of_parts >= goal:
            return f"{text}, which is more than the target leaves"
        return f"{text}; the rest of the operation takes {duration(max(own - sum_of_parts, 0.0))}"


def measured(
    title: str, operations: Iterable[Operation], scale: Scale, say: Callable[[str], None]
) -> Section:
    """Measure one operation after the other, and return what there is to say about them all."""
    rows: list[Row] = []
    data: dict[str, object] = {}
    for operation in operations:
        more, data[operation.name] = operation.measure(scale, say)
        rows += more
    return Section(title, rows, data)


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
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 9_999.5 / (1 if unit == "ns" else 10):
            return f"{number(seconds * factor)} {unit}"
    return f"{number(seconds)} s"


def spread(sample: Sample) -> str:
    """Return the median and the quartiles."""
    low, high = sample.spread
    return f"{duration(sample.median)} ({duration(low)} to {duration(high)})"
