"""The report on what the thesis left open: every setting a row, with its price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.study.report.number_text import bytes_text, count_text, share_cell, share_text
from evaluation.study.report.page import Cell, DataTable, Line, Picture, Section
from evaluation.study.report.rows import Row, precision, rows_of

STUDIES: Mapping[str, tuple[str, str]] = {
    "mixed": (
        "A text beside the crop",
        "Each crop alone, then together with its class's averaged wordings at several weights.",
    ),
    "negatives": (
        "Wrong hits pushed away",
        "The best four wrong hits of a crop's first answer become negative terms of a second"
        " search. Their photos are left out with and without the terms, so what counts is what the"
        " terms teach about other photos.",
    ),
    "margin": (
        "Margin around the query's box",
        "The same objects, cut out with more or less of what is around them.",
    ),
    "whole-photo": (
        "The whole photo as one patch more",
        "For photos that an object fills: no window of a selector is large enough for it. Here the"
        " whole photo is judged as any patch is.",
    ),
    "patch-size": (
        "Patch sizes",
        "Only the patches of one size; sizes as shares of the photo's short side.",
    ),
    "patches-per-photo": (
        "Patches per photo",
        "Only the first patches of each photo, in the order of the selection.",
    ),
    "near-duplicates": (
        "Near-duplicates left out",
        "Photos come in their order, and a patch is kept only when its best cosine with the patches"
        " kept of earlier photos is below a limit (thesis section 5.5). Limits are set where about"
        " 10, 25, 50 and 75 % of the patches have such a neighbour.",
    ),
}
"""Study -> heading and what is done."""


def options_section(results: Mapping[str, Any], picture: Picture | None) -> Section | None:
    """All studies; None where there was none."""
    rows = rows_of(results, "options")
    if not rows:
        return None
    section = Section("options", "Beyond the thesis")
    section.say(
        "What a setting brings, and its price: vectors per photo, and the bytes of all vectors as"
        " they are stored (two a number). All settings of one study ask with the same queries,"
        " which for a class with many objects are only its first crops."
    )
    if picture is not None:
        section.pictures([picture])
    for name, (title, what) in STUDIES.items():
        mine = [row for row in rows if row["option"] == name]
        if mine:
            section.head(title)
            section.note(what)
            section.table(_table(name, mine))
    return section


def _table(name: str, rows: list[Row]) -> DataTable:
    priced = len({int(row["vectors"]) for row in rows}) > 1
    most = max(int(row["vectors"]) for row in rows)
    kinds = len({row["query"] for row in rows}) > 1 and name != "mixed"
    header = ["setting"]
    header += ["query"] if kinds else []
    header += ["precision@16", "reachable", "objects in 100 hits", "findable", "mAP"]
    header += ["vectors per photo", "share kept", "bytes"] if priced else []
    lines: list[Line] = []
    last = ""
    for row in rows:
        label = str(row["label"])
        cells: list[Cell | str] = ["" if kinds and label == last else label]
        if kinds:
            cells.append("crop" if row["query"] == "image" else str(row["query"]))
        cells += [
            share_cell(precision(row)[0], digits=3),
            Cell(share_text(row["reachable"])),
            Cell(share_text(row["objects"].get("100"))),
            Cell(share_text(row["findable"])),
            Cell(share_text(row["map"], 3)),
        ]
        if priced:
            cells += [
                Cell(count_text(round(float(row["vectors_per_photo"]), 1))),
                Cell(f"{int(row['vectors']) / most:.0%}"),
                Cell(bytes_text(float(row["vector_bytes"]))),
            ]
        lines.append(tuple(cells))
        last = label
    return DataTable("", tuple(header), tuple(lines), labels=2 if kinds else 1)
