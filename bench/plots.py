"""The figures as pictures, drawn from what the sections keep in their data.

A plot whose data is missing is left out. The same data gives the same file, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import Section
from kaizen_nexus._extras import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write"]

# Okabe and Ito's colours, which the colour-blind can tell apart, and which show on white and black.
COLOURS = {
    "compiled": "#0072b2",
    "kaizen-nexus": "#0072b2",
    "pure Python": "#e69f00",
    "the original": "#d55e00",
    "FastAPI": "#d55e00",
    "cachebox": "#009e73",
    "dict with a lock": "#cc79a7",
}
NEUTRAL = "#808080"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": NEUTRAL,
    "axes.grid": True,
    "axes.labelcolor": NEUTRAL,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": NEUTRAL,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.figsize": (7.2, 4.2),
    "grid.alpha": 0.25,
    "grid.color": NEUTRAL,
    "legend.frameon": False,
    "legend.labelcolor": NEUTRAL,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched and read out
    "svg.hashsalt": "kaizen-nexus",
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
}


def write(sections: Sequence[Section], folder: Path) -> list[Path]:
    """Draw what the sections' data allows as SVG files in `folder`, which is made if need be.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        missing_extra("drawing plots", "bench", error)
    data: dict[str, Any] = {}
    for section in sections:
        data.update(section.data)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (needed, title, draw) in PLOTS.items():
        if not data.get(needed):
            continue
        with mpl.rc_context(STYLE):
            figure = Figure()
            FigureCanvasSVG(figure)
            axes = figure.add_subplot()
            axes.set_title(title)
            draw(axes, data[needed])
            # Below the axes it hides nothing.
            figure.legend(loc="outside lower center", ncols=6, fontsize=9, columnspacing=1.2)
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Title": title, "Date": None, "Creator": None})
        written.append(path)
    return written


def _latency_by_size(axes: Axes, costs: Mapping[str, Any]) -> None:
    for contender, by_operation in costs.items():
        points = sorted((int(size), cost) for size, cost in by_operation["get"].items())
        sizes, seconds = zip(*points, strict=True)
        axes.loglog(sizes, seconds, marker="o", color=_colour(contender), label=contender)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("sessions in the table")
    axes.set_ylabel("one get, random ids")
    axes.yaxis.set_major_formatter(_time)


def _pauses(axes: Axes, curves: Mapping[str, Any]) -> None:
    for contender, by_kind in curves.items():
        for kind, line in (("expiry", "-"), ("quiet", ":")):
            seconds, parts = zip(*by_kind[kind], strict=True)
            label = contender if kind == "expiry" else None
            axes.loglog(seconds, parts, line, color=_colour(contender), label=label)
    axes.minorticks_off()
    axes.set_xlabel("latency of a get or update (dotted: without a sweep; grey: the target)")
    axes.set_ylabel("part of them that take as long")
    axes.xaxis.set_major_formatter(_time)
    axes.axvline(5e-3, color=NEUTRAL, linewidth=0.8)
    axes.axhline(1e-3, color=NEUTRAL, linewidth=0.8)


def _latency_by_load(axes: Axes, curves: Mapping[str, Any]) -> None:
    for contender, points in curves.items():
        rates = [point["offered"] for point in points]
        for percentile, line in (("p99", "-"), ("p50", ":")):
            seconds = [point[percentile] for point in points]
            label = contender if percentile == "p99" else None
            axes.semilogy(rates, seconds, line, color=_colour(contender), label=label)
    axes.minorticks_off()
    axes.set_xlabel("requests offered a second, to one worker (dotted: p50)")
    axes.set_ylabel("p99, from when it was due")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.yaxis.set_major_formatter(_time)


def _colour(contender: str) -> str:
    return COLOURS.get(contender, NEUTRAL)


def _time(seconds: float, _: float = 0) -> str:
    """Return the label of a tick at a round time."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size * (1 - 1e-9):
            return f"{seconds / size:g} {unit}"
    return f"{seconds * 1e9:g} ns"


PLOTS: dict[str, tuple[str, str, Callable[[Axes, Mapping[str, Any]], None]]] = {
    "latency-by-size": (
        "cost_by_size",
        "Latency of a get against the size of the table",
        _latency_by_size,
    ),
    "pauses": (
        "pause_survival",
        "Latency while half of the sessions expire together",
        _pauses,
    ),
    "latency-by-load": (
        "latency_by_load",
        "Latency against offered load",
        _latency_by_load,
    ),
}
"""By the file's name: the data that it needs, its title, and what draws it."""
