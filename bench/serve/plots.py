"""The curves as a picture: p50 and p99 against offered load, for each server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core import plots
from bench.report import Section
from bench.serve.contenders import BARE, FASTAPI, OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write"]

COLOURS = {OURS: "#0072b2", FASTAPI: "#d55e00", BARE: "#808080"}


def write(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Draw the curves as an SVG file in `folder`; nothing without their data.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    return plots.write(sections, folder, PLOTS)


def _latency_by_load(axes: Axes, data: plots.Data) -> None:
    for contender, points in data["latency_by_load"].items():
        rates = [point["offered"] for point in points]
        for percentile, line in (("p99", "-"), ("p50", ":")):
            axes.semilogy(
                rates,
                [point[percentile] * 1e9 for point in points],
                line,
                marker="o",
                markersize=3,
                color=COLOURS[contender],
                label=contender if percentile == "p99" else None,
            )
    axes.minorticks_off()
    axes.set_xlabel("requests offered a second, to one worker (dotted: p50)")
    axes.set_ylabel("p99, from when it was due")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.yaxis.set_major_formatter(plots.time_label)


PLOTS: Sequence[plots.Plot] = (
    (
        "latency-by-load",
        "latency_by_load",
        "Latency against offered load",
        _latency_by_load,
    ),
)
