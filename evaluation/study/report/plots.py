"""The report's plots, from results alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import NullLocator

from evaluation.study.report.drawing import Theme, drawn, share_axis
from evaluation.study.report.page import Picture
from evaluation.study.report.rows import (
    Row,
    is_control,
    level_name,
    main_level,
    mean_captured,
    precision,
    query_name,
    rows_of,
)

_WIDE, _HALF = (10.0, 4.6), (7.0, 4.6)
_MARKERS = "osD^vPX"


def draw_plots(folder: Path, results: Mapping[str, Any]) -> dict[str, Picture]:
    """Writes the plots that the results have figures for; returns them by name.

    Names: captured, precision, found, profiles.
    """
    out: dict[str, Picture] = {}
    curves = rows_of(results, "curves", "curve")
    if curves:
        out["captured"] = drawn(
            folder,
            "captured",
            _WIDE,
            partial(draw_captured, curves, rows_of(results, "selection")),
            "Line plot: share of objects captured against patches per photo, a line a selector",
            "Objects captured against patches per photo. Large dots: the selectors as they are."
            " Dashed: controls.",
        )
    search = rows_of(results, "search")
    if search:
        out["precision"] = drawn(
            folder,
            "precision",
            _WIDE,
            partial(draw_precision, search),
            "Bar chart: precision at 16 of each level by kind of query",
            "Precision@16, mean over classes. Line on top: one standard deviation of a class's"
            " queries. Outline: the highest that any order of the patches could reach.",
        )
    recall = rows_of(results, "recall")
    if recall:
        level = main_level(results)
        out["found"] = drawn(
            folder,
            "found",
            _HALF,
            partial(draw_found, recall, level),
            f"Line plot: share of a class's objects found within the first hits, level {level}",
            f"Objects found within the first hits, level {level}. Dotted: objects that any patch"
            " shows, which no search can exceed.",
        )
    profiles = [row for row in rows_of(results, "profiles") if "precision_at_16" in row]
    if profiles:
        out["profiles"] = drawn(
            folder,
            "profiles",
            _HALF,
            partial(draw_profiles, profiles),
            "Scatter plot: precision at 16 of index profiles against bytes per vector",
            "Precision@16 against the bytes of the index. Empty: in the order of the codes alone,"
            " not rescored.",
        )
    return out


def draw_captured(
    curves: Sequence[Row], selection: Sequence[Row], figure: FigureBase, theme: Theme
) -> None:
    """Captured objects against patches a photo."""
    axes = figure.add_subplot()
    names = list(dict.fromkeys(str(row["selector"]) for row in curves))
    names.sort(key=lambda name: any(is_control(r) for r in curves if r["selector"] == name))
    presets = {str(row["selector"]): row for row in selection}
    for place, name in enumerate(names):
        mine = [row for row in curves if str(row["selector"]) == name]
        points = sorted(
            (float(row["patches_per_image"]), float(row["captured"]))
            for row in mine
            if isinstance(row.get("captured"), int | float)
        )
        if not points:
            continue
        control = is_control(mine[0])
        colour = theme.lines[place % len(theme.lines)]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        style = "--" if control else "-"
        marker = "s" if len(points) == 1 else ""
        axes.plot(
            xs, ys, style, color=colour, marker=marker, linewidth=1.4 if control else 2, label=name
        )
        preset = presets.get(name)
        share = mean_captured(preset) if preset else None
        if preset and share is not None and not control:
            axes.plot(float(preset["patches_per_image"]), share, "o", color=colour, markersize=8)
    axes.set_xlabel("patches per photo")
    axes.set_xlim(left=0)
    share_axis(axes, theme, "objects captured")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_precision(search: Sequence[Row], figure: FigureBase, theme: Theme) -> None:
    """Groups of bars: a group a level, a bar a kind of query."""
    axes = figure.add_subplot()
    names = list(dict.fromkeys(str(row["level"]) for row in search))
    kinds = list(dict.fromkeys((str(row["query"]), int(row["n"])) for row in search))
    width = 0.84 / len(kinds)
    for place, kind in enumerate(kinds):
        colour = theme.lines[place % len(theme.lines)]
        label = ""
        for group, level in enumerate(names):
            row = _row(search, level, kind)
            if row is None:
                continue
            label = query_name(row)
            x = group + (place - (len(kinds) - 1) / 2) * width
            mean, std = precision(row)
            axes.bar(x, mean, width * 0.9, color=colour)
            axes.bar(
                x,
                float(row["reachable"]),
                width * 0.9,
                fill=False,
                edgecolor=theme.soft,
                linewidth=0.7,
            )
            axes.plot([x, x], [max(mean - std, 0), min(mean + std, 1)], color=theme.ink, lw=1)
        axes.bar(0, 0, color=colour, label=label)
    axes.set_xticks(range(len(names)), [level_name(name).replace("-", "-\n", 1) for name in names])
    axes.tick_params(axis="x", length=0)
    share_axis(axes, theme, "precision@16")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_found(recall: Sequence[Row], level: str, figure: FigureBase, theme: Theme) -> None:
    """Share of objects found against the number of hits looked at."""
    axes = figure.add_subplot()
    mine = [row for row in recall if row["level"] == level and row["curve"]]
    whole = [row for row in recall if row["level"] == "image" and row["curve"]]
    for place, row in enumerate(mine):
        colour = theme.lines[place % len(theme.lines)]
        hits, shares = zip(*row["curve"], strict=True)
        axes.plot(
            hits,
            shares,
            color=colour,
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=4.5,
            linewidth=2,
            label=query_name(row),
        )
    for row in whole[:1]:
        hits, shares = zip(*row["curve"], strict=True)
        axes.plot(
            hits,
            shares,
            "--",
            color=theme.soft,
            linewidth=1.3,
            label=f"whole image, {query_name(row)}",
        )
    if mine:
        axes.axhline(float(mine[0]["findable"]), color=theme.soft, linestyle=":", linewidth=1.3)
    _log_numbers(axes, (1, 4, 16, 100, 400, 1000))
    axes.set_xlabel("hits looked at")
    share_axis(axes, theme, "objects found")
    axes.legend(loc="upper left")


def draw_profiles(profiles: Sequence[Row], figure: FigureBase, theme: Theme) -> None:
    """Precision against bytes a vector, a point a profile."""
    axes = figure.add_subplot()
    ours = [str(row["profile"]) for row in profiles if row.get("rescored")]
    for place, row in enumerate(profiles):
        name = str(row["profile"])
        whole = name.removesuffix(", not rescored")
        place = ours.index(whole) if whole in ours else len(ours)
        size = max(float(row["bytes_per_vector"]), 1.0)
        axes.plot(
            size,
            precision(row)[0],
            _MARKERS[place % len(_MARKERS)],
            color=theme.lines[place % len(theme.lines)],
            markersize=9,
            fillstyle="full" if row.get("rescored") else "none",
            label=None if name != whole else name,
        )
    sizes = [float(row["bytes_per_vector"]) for row in profiles]
    steps = (32, 64, 128, 256, 512, 1024, 2048, 4096)
    _log_numbers(axes, [one for one in steps if min(sizes) / 2 <= one <= max(sizes) * 2])
    axes.set_xlabel("bytes per vector that a search reads")
    top = max(precision(row)[0] for row in profiles)
    share_axis(axes, theme, "precision@16", top=min(1.0, max(top * 1.15, 0.1)))
    axes.legend(loc="lower right")


def _row(search: Sequence[Row], level: str, kind: tuple[str, int]) -> Row | None:
    for row in search:
        if row["level"] == level and (row["query"], row["n"]) == kind:
            return row
    return None


def _log_numbers(axes: Axes, numbers: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
