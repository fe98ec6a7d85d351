"""The figures as pictures: latency by table size, pauses during a mass expiry, creating sessions.

They are drawn from what the sections keep in their data:

``cost_by_size_ns``
    ``{contender: {operation: {sessions: nanoseconds}}}``
``pause_survival_ns``
    ``{contender: {"expiry" or "quiet": [(nanoseconds, part of the calls that took as long)]}}``
``create_peaks_ns`` and ``bucket``
    ``{contender: [longest of each bucket of creates, in nanoseconds]}`` and the bucket's size

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

__all__ = ["Data", "Plot", "time_label", "write"]

Data = Mapping[str, Any]
Plot = tuple[str, str, str, "Callable[[Axes, Data], None]"]
"""The file's name, the data that it needs, its title, and what draws it."""

# Okabe and Ito's colours, which the colour-blind can tell apart, and which show on white and black.
COLOURS = {
    "compiled": "#0072b2",
    "pure Python": "#e69f00",
    "the original": "#d55e00",
    "cachetools": "#009e73",
    "dict with a lock": "#cc79a7",
    "dict": "#808080",
    "no table": "#808080",
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
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "figure.figsize": (7.2, 4.2),
    "font.family": "sans-serif",
    "font.size": 10.5,
    "grid.alpha": 0.25,
    "grid.color": NEUTRAL,
    "legend.frameon": False,
    "legend.labelcolor": NEUTRAL,
    "lines.linewidth": 1.8,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched and read out
    "svg.hashsalt": "kaizen-nexus",
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
}


def write(
    sections: Sequence[Section], folder: Path, plots: Sequence[Plot] | None = None
) -> list[Path]:
    """Draw what the sections' data allows as SVG files in `folder`, which is made if need be.

    Parameters
    ----------
    sections
        What has been measured.
    folder
        Where to write.
    plots
        What to draw; default is the plots of the core.

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
    for name, needed, title, draw in PLOTS if plots is None else plots:
        if needed not in data:
            continue
        with mpl.rc_context(STYLE):
            figure = Figure()
            FigureCanvasSVG(figure)
            axes = figure.add_subplot()
            axes.set_title(title)
            draw(axes, data)
            if axes.get_legend_handles_labels()[1]:
                # Below the axes it hides nothing.
                figure.legend(loc="outside lower center", ncols=6, fontsize=9, columnspacing=1.2)
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Title": title, "Date": None, "Creator": None})
        written.append(path)
    return written


def _latency_by_size(axes: Axes, data: Data) -> None:
    for contender, by_operation in data["cost_by_size_ns"].items():
        points = sorted((int(size), cost) for size, cost in by_operation["get"].items())
        sizes, costs = zip(*points, strict=True)
        axes.loglog(sizes, costs, marker="o", markersize=4, color=COLOURS[contender])
        axes.annotate(
            contender,
            (sizes[-1], costs[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[contender],
        )
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("sessions in the table")
    axes.set_ylabel("one get, random ids")
    axes.yaxis.set_major_formatter(time_label)
    axes.margins(x=0.03)


def _pauses(axes: Axes, data: Data) -> None:
    for contender, curves in data["pause_survival_ns"].items():
        for kind, line in (("expiry", "-"), ("quiet", ":")):
            if kind in curves:
                nanoseconds, parts = zip(*curves[kind], strict=True)
                label = contender if kind == "expiry" or "expiry" not in curves else None
                axes.loglog(nanoseconds, parts, line, color=COLOURS[contender], label=label)
    axes.minorticks_off()
    axes.set_xlabel("latency of a get or update (dotted: without a sweep)")
    axes.set_ylabel("part of them that take as long")
    axes.xaxis.set_major_formatter(time_label)
    axes.axvline(5e6, color=NEUTRAL, linewidth=0.8)
    axes.axhline(1e-3, color=NEUTRAL, linewidth=0.8)
    axes.annotate(
        "target: 99.9 % under 5 ms",
        (5e6, 1e-3),
        xytext=(6, 5),
        textcoords="offset points",
        color=NEUTRAL,
        fontsize=9,
    )


def _creating(axes: Axes, data: Data) -> None:
    bucket = int(data["bucket"])
    for contender, peaks in data["create_peaks_ns"].items():
        sizes = [bucket * number for number in range(1, len(peaks) + 1)]
        axes.semilogy(sizes, peaks, color=COLOURS[contender], label=contender, linewidth=1.2)
    axes.minorticks_off()
    axes.set_xlabel("sessions created so far")
    axes.set_ylabel(f"longest of {bucket:,} creates")
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.yaxis.set_major_formatter(time_label)


def time_label(nanoseconds: float, _: float = 0) -> str:
    """Return the label of a tick at a round number of nanoseconds."""
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"


PLOTS: Sequence[Plot] = (
    (
        "latency-by-size",
        "cost_by_size_ns",
        "Latency of a get against the size of the table",
        _latency_by_size,
    ),
    (
        "pauses",
        "pause_survival_ns",
        "Latency while half of the sessions expire together",
        _pauses,
    ),
    (
        "creating",
        "create_peaks_ns",
        "Longest creates while the table grows",
        _creating,
    ),
)
