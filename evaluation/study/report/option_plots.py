"""The plots of the studies beyond the thesis: one panel a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.study.report.drawing import Theme, drawn, share_axis
from evaluation.study.report.page import Picture
from evaluation.study.report.rows import Row, precision, rows_of

PANELS = {
    "margin": ("Margin around the object", "margin, as a share of the box"),
    "patches-per-photo": ("Patches per photo", "vectors per photo"),
    "near-duplicates": ("Near-duplicates left out", "share of the vectors kept"),
    "mixed": ("A text beside the crop", "weight of the text"),
    "negatives": ("Wrong hits pushed away", "weight of the wrong hits"),
}


def draw_option_plots(folder: Path, results: Mapping[str, Any]) -> Picture | None:
    """Writes one plot with a panel for each study that has rows; None without any."""
    rows = rows_of(results, "options")
    named = [name for name in PANELS if any(row["option"] == name for row in rows)]
    if not named:
        return None
    lines = -(-len(named) // 3)
    columns = min(len(named), 3)
    return drawn(
        folder,
        "options",
        (3.7 * columns + 0.5, 3.3 * lines),
        partial(draw_options, rows, named),
        "Line plots, one a study: precision at 16 against each setting",
        "Precision@16 of the studies below, mean over classes.",
    )


def draw_options(rows: Sequence[Row], named: Sequence[str], figure: Figure, theme: Theme) -> None:
    """A panel for each study in `named`."""
    columns = min(len(named), 3)
    lines = -(-len(named) // columns)
    for place, name in enumerate(named):
        axes = figure.add_subplot(lines, columns, place + 1)
        _panel(axes, theme, name, [row for row in rows if row["option"] == name])


def _panel(axes: Axes, theme: Theme, name: str, rows: Sequence[Row]) -> None:
    title, label = PANELS[name]
    axes.set_title(title)
    axes.set_xlabel(label)
    kinds = list(dict.fromkeys(_kind(row) for row in rows if _at(name, row, rows) is not None))
    top = 0.0
    for place, kind in enumerate(kinds):
        points = sorted(
            (at, precision(row)[0])
            for row in rows
            if _kind(row) == kind and (at := _at(name, row, rows)) is not None
        )
        top = max(top, *(share for _, share in points))
        axes.plot(
            [at for at, _ in points],
            [share for _, share in points],
            color=theme.lines[place],
            marker="os"[place % 2],
            markersize=4.5,
            linewidth=2,
            label=kind,
        )
    share_axis(axes, theme, "precision@16", top=min(1.0, max(top * 1.25, 0.1)))
    if name == "near-duplicates":
        axes.invert_xaxis()
    if len(kinds) > 1:
        axes.legend(loc="best")


def _kind(row: Row) -> str:
    return "text" if row["query"] == "text" else "crop"


def _at(name: str, row: Row, rows: Sequence[Row]) -> float | None:
    """Where on the horizontal axis a row is; None for one that has no place there."""
    if name == "patches-per-photo":
        return float(row["vectors_per_photo"])
    if name == "near-duplicates":
        most = max(int(one["vectors"]) for one in rows)
        return int(row["vectors"]) / most
    if name == "mixed" and row["query"] == "text":
        return None
    return abs(float(row["value"]))
