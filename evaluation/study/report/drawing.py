"""Drawing for a light and for a dark page with the same strokes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.study.report.page import Picture


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one page. `lines` are told apart by people who see few colours, too."""

    ink: str
    soft: str
    card: str
    grid: str
    lines: tuple[str, ...]


LIGHT = Theme(
    "#16202e",
    "#5a6778",
    "#ffffff",
    "#e3e7ec",
    ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#c48a00", "#3a9bd0", "#444b55"),
)
DARK = Theme(
    "#e6eaf0",
    "#9aa7b8",
    "#1a212c",
    "#303a48",
    ("#56b4e9", "#f58a3c", "#35c79a", "#dd8fc0", "#f0c04a", "#8fcbf0", "#c9d1dc"),
)

Draw = Callable[[Figure, Theme], None]
"""Draws on an empty figure; a plot of several panels adds them itself."""

_DPI = 130


def draw_both(folder: Path, stem: str, size: tuple[float, float], draw: Draw) -> tuple[str, str]:
    """Writes `<stem>.png` and `<stem>-dark.png` below `folder`; returns their names.

    `size` in inches. The bytes depend on what is drawn alone.
    """
    names = f"{stem}.png", f"{stem}-dark.png"
    for name, theme in zip(names, (LIGHT, DARK), strict=True):
        draw_png(folder / name, size, theme, draw)
    return names


def draw_png(
    path: Path, size: tuple[float, float], theme: Theme, draw: Draw, *, dpi: int = _DPI
) -> None:
    """Writes one PNG with the theme's colours."""
    # Its type names every setting there is.
    settings: Any = {
        "font.size": 10.5,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.soft,
        "axes.facecolor": theme.card,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": theme.soft,
        "ytick.color": theme.soft,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "legend.frameon": False,
        "legend.fontsize": 9.5,
        "figure.facecolor": theme.card,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, dpi=dpi, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, theme)
        figure.savefig(path, format="png", metadata={"Software": None})


def share_axis(axes: Axes, theme: Theme, label: str, *, top: float = 1.0) -> None:
    """The vertical axis as a share from 0 to `top`, with lines to read it by."""
    axes.set_ylim(0, top * 1.04)
    axes.set_ylabel(label)
    axes.grid(True, axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)


def drawn(
    folder: Path,
    stem: str,
    size: tuple[float, float],
    draw: Draw,
    alt: str,
    caption: str,
) -> Picture:
    """Draws for both pages; the picture as the page has it."""
    light, dark = draw_both(folder, stem, size, draw)
    return Picture(light, alt, caption, dark)
