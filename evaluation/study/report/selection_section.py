"""The report on the choice of patches: thesis table 4.2 and its curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.study.report.number_text import count_text, share_cell, share_text
from evaluation.study.report.page import Cell, DataTable, Line, Picture, Section
from evaluation.study.report.rows import (
    Row,
    class_captured,
    is_control,
    mean_captured,
    rows_of,
)

_FEW_CLASSES = 8


def selection_section(
    results: Mapping[str, Any], pictures: Mapping[str, Picture]
) -> Section | None:
    """Captured objects; None where nothing was measured."""
    rows = rows_of(results, "selection")
    if not rows:
        return None
    section = Section("selection", "Objects captured by the patches")
    section.say(
        "A patch that was not selected can never be found. An object is captured when a patch holds"
        " at least half of it and it covers at least 5 % of the patch (thesis section 4.2). Crowds"
        " and objects below 3000 px at 3848 x 2168, scaled to each photo, do not count."
    )
    classes = [
        name for name in dict.fromkeys(c for row in rows for c in class_captured(row)) if name
    ]
    groups = list(dict.fromkeys(name for row in rows for name in row.get("captured_groups") or {}))
    shown = classes if len(classes) <= _FEW_CLASSES else groups[:_FEW_CLASSES]
    best = max(
        (share for row in rows if not is_control(row) if (share := mean_captured(row)) is not None),
        default=None,
    )
    section.table(
        DataTable(
            "Thesis table 4.2: share of objects captured. Controls: the whole photo as one patch,"
            " and as many windows of the same sizes at random places.",
            ("selector", "patches per photo", "all objects", *shown),
            tuple(_row(row, shown, best) for row in rows),
        )
    )
    if pictures.get("captured"):
        section.pictures([pictures["captured"]])
    if len(classes) > len(shown):
        section.table(_by_class(rows, classes), folded=f"Every class ({len(classes)})")
    timings = rows_of(results, "timings")
    if timings:
        section.head("Time a photo")
        section.table(_timings(timings))
    return section


def _row(row: Row, shown: Sequence[str], best: float | None) -> Line:
    share, captured = mean_captured(row), class_captured(row)
    bold = share is not None and share == best and not is_control(row)
    return (
        str(row["selector"]),
        count_text(round(float(row["patches_per_image"]), 1)),
        share_cell(share, best=bold),
        *(Cell(share_text(captured.get(name))) for name in shown),
    )


def _by_class(rows: Sequence[Row], classes: Sequence[str]) -> DataTable:
    chosen = [row for row in rows if not is_control(row)]
    counts: dict[str, int] = next((row["objects"] for row in chosen if row.get("objects")), {})
    lines: list[Line] = []
    for name in classes:
        shares = [class_captured(row).get(name) for row in chosen]
        count = counts.get(name)
        lines.append(
            (
                name,
                "" if count is None else count_text(count),
                *(share_cell(share) for share in shares),
            )
        )
    header = ("class", "objects", *(str(row["selector"]) for row in chosen))
    return DataTable("Share of each class's objects that is captured.", header, tuple(lines))


def _timings(rows: Sequence[Row]) -> DataTable:
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    names = list(dict.fromkeys(str(row["selector"]) for row in rows))
    told = {(str(row["selector"]), str(row["stage"])): float(row["ms"]) for row in rows}
    lines: tuple[Line, ...] = tuple(
        (name, *(Cell(f"{told[name, s]:.1f}" if (name, s) in told else "-") for s in stages))
        for name in names
    )
    return DataTable(
        "Milliseconds a photo by stage, one thread, with the other workers beside it.",
        ("selector", *stages),
        lines,
    )
