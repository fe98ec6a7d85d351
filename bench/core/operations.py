"""Operations that contenders are timed at: the one place that measures and judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.comparing import Target, compare, figures, spread
from bench.core.contenders import COMPILED
from bench.core.scale import Scale
from bench.report import Row, Section
from bench.timing import Run, Sample, take_turns

__all__ = ["Operation", "measured"]

AT_LEAST = 0.005
"""Seconds that a measurement lasts, if one repetition does not last longer."""
BUDGET = 0.8
"""Seconds per round that an operation may take, all contenders together."""


@dataclass(frozen=True)
class Operation:
    """What is timed: the compiled contender and its rivals at one task."""

    name: str
    runs: Mapping[str, Run]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Why other contenders are missing."""
    targets: Sequence[Target] = ()
    """Of the subject, unless they name another contender."""
    per: int = 1
    """How many values one repetition handles: figures are for one of them."""
    unjudged: str = ""
    """Why its targets cannot be judged in this run, if they cannot."""
    subject: str = COMPILED

    def measure(
        self, scale: Scale, say: Callable[[str], None]
    ) -> tuple[list[Row], dict[str, object]]:
        """Time all contenders, and return what there is to report.

        Returns
        -------
        list
            The subject's own time, one row for each rival, and one for each other target.
        dict
            The seconds of each contender, for a machine to read.
        """
        say(self.name)
        samples = take_turns(self.runs, scale.rounds, AT_LEAST, BUDGET * scale.rounds)
        times = {
            name: Sample(tuple(seconds / self.per for seconds in sample.seconds))
            for name, sample in samples.items()
        }
        own = {target.rival: target for target in self.targets if not target.subject}
        rivals = dict.fromkeys((*self.runs, *own))
        rows = [Row(self.name, spread(times[self.subject]))] if self.subject in times else []
        compared = [own.get(rival, Target(rival)) for rival in rivals if rival != self.subject]
        compared += [target for target in self.targets if target.subject]
        for target in compared:
            who = f"{target.subject} against" if target.subject else "against"
            rows.append(
                compare(
                    f"{self.name}: {who} {target.rival}",
                    times,
                    target.subject or self.subject,
                    target,
                    absent=self.absent,
                    unjudged=self.unjudged,
                )
            )
        return rows, {"contenders": {name: figures(sample) for name, sample in times.items()}}


def measured(
    title: str, operations: Iterable[Operation], scale: Scale, say: Callable[[str], None]
) -> Section:
    """Measure one operation after the other, and return what there is to report about them all."""
    rows: list[Row] = []
    data: dict[str, object] = {}
    for operation in operations:
        more, data[operation.name] = operation.measure(scale, say)
        rows += more
    return Section(title, rows, data)
