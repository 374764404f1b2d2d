"""The two pictures: what recall costs in memory, and what it costs in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from evaluation.index_bench.results import Result

BYTES_FILE, LATENCY_FILE = "recall-bytes.png", "recall-latency.png"
_SIZE, _DPI = (10.0, 6.0), 120
# What is missing to 1 is drawn, on a logarithmic scale: all that is interesting lies there.
_LEAST_MISSING = 5e-4
_MISSING = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5)
_OURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vP*Xh<>pd"
_PEERS = ("#8c6d31", "#6b6ecf", "#637939", "#a55194", "#7f7f7f", "#3182bd", "#843c39", "#5b8c85")
_LATENCY = "ms a query, one at a time on one thread (p50)"
_BYTES = "bytes a vector; full: anonymous memory and the mapped index, empty: all that is resident"


def draw_plots(results: Sequence[Result], directory: Path) -> list[Path]:
    """Writes both as PNG into `directory`, which is made; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    bytes_path, latency_path = directory / BYTES_FILE, directory / LATENCY_FILE
    _draw(results, bytes_path, _BYTES, "memory", _draw_bytes)
    _draw(results, latency_path, _LATENCY, "time", _draw_latency)
    return [bytes_path, latency_path]


def _draw(
    results: Sequence[Result],
    path: Path,
    label: str,
    title: str,
    draw: Callable[[Axes, Result, str, str], None],
) -> None:
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    first = results[0]
    axes.set_title(
        f"Recall@{first.k} against {title}\n"
        f"{first.table}: {first.vectors} vectors x {first.dim}, {first.queries} queries",
        fontsize=11,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel(f"recall@{first.k}")
    ours = [result for result in results if not result.is_peer]
    peers = [result for result in results if result.is_peer]
    for colours, group in ((_OURS, ours), (_PEERS, peers)):
        for place, result in enumerate(group):
            marker = _MARKERS[place % len(_MARKERS)]
            draw(axes, result, colours[place % len(colours)], marker)
    bottom = max(axes.get_ylim())
    axes.set_ylim(max(1.3 * bottom, 0.02), _LEAST_MISSING * 0.8)
    axes.yaxis.set_major_locator(FixedLocator(_MISSING))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_recall_label))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, which="both", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
    figure.savefig(path, format="png")


def _draw_bytes(axes: Axes, result: Result, colour: str, marker: str) -> None:
    """RAM as a full marker, everything resident as an empty one, joined."""
    height = _missing(result.measured.recall)
    ram, resident = max(result.ram, 1.0), max(result.resident, 1.0)
    axes.plot([ram, resident], [height, height], color=colour, linewidth=1, alpha=0.6)
    axes.plot(resident, height, marker, color=colour, fillstyle="none", markersize=8)
    axes.plot(ram, height, marker, color=colour, markersize=8, label=result.profile)


def _draw_latency(axes: Axes, result: Result, colour: str, marker: str) -> None:
    """The sweep as a line, the point that is reported as a large marker."""
    points = result.sweep
    if len(points) > 1:
        axes.plot(
            [point.p50_ms for point in points],
            [_missing(point.recall) for point in points],
            color=colour,
            linewidth=1 if result.is_peer else 2,
            linestyle="--" if result.is_peer else "-",
            marker=".",
            markersize=4,
            alpha=0.7,
        )
    axes.plot(
        result.measured.p50_ms,
        _missing(result.measured.recall),
        marker,
        color=colour,
        markersize=9,
        label=result.profile,
    )


def _missing(recall: float) -> float:
    return max(1 - recall, _LEAST_MISSING)


def _recall_label(missing: float, _: int) -> str:
    # What is drawn at the edge may be as good as 1.
    return f"{1 - missing:g}" + ("+" if missing <= _LEAST_MISSING else "")
