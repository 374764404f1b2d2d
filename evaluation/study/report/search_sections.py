"""The report on searches: thesis table 4.3, objects found, thesis table 4.4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.study.report.number_text import (
    count_text,
    share_cell,
    share_text,
    small_share,
    spread_text,
)
from evaluation.study.report.page import Cell, DataTable, Line, Picture, Section
from evaluation.study.report.rows import (
    Row,
    found,
    level_name,
    main_level,
    precision,
    query_name,
    rows_of,
)

_FEW_CLASSES = 6


def search_section(results: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Section | None:
    """Precision at 16; None where nothing was searched."""
    rows = rows_of(results, "search")
    if not rows:
        return None
    section = Section("search", "Searching by crop and by text")
    section.say(
        "Precision@16 is the share of right ones among the first 16 hits: best first, and of"
        " overlapping patches of one photo only the best is a hit. A crop's own photo is left out"
        " of what it searches; an average of n crops leaves out the photos of all n. A whole photo"
        " counts as right when it shows an object of the class at all."
    )
    section.table(_table(rows))
    if pictures.get("precision"):
        section.pictures([pictures["precision"]])
    section.note(
        "Figures are means over a class's queries, then over classes; in brackets the standard"
        " deviation of a class's queries. Reachable: where a class has fewer than 16 right patches"
        " that can be hits together, precision@16 cannot reach 1. Chance: the share of right"
        " patches. mAP is over all patches, overlapping ones too. An average of n crops leaves"
        " fewer objects to be found, so compare it with its reachable figure and with one crop over"
        " the same classes."
    )
    level = main_level(results)
    names = list(dict.fromkeys(name for row in rows for name in row["classes"]))
    if 1 < len(names) <= _FEW_CLASSES:
        section.table(_few_classes(rows, names))
    elif len(names) > _FEW_CLASSES:
        mine = [row for row in rows if row["level"] == level]
        section.table(_many_classes(mine, names, level), folded=f"Every class ({len(names)})")
    _left_out(section, results)
    return section


def recall_section(results: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Section | None:
    """Objects found within so many hits; None where nothing was searched."""
    rows = rows_of(results, "recall")
    if not rows:
        return None
    section = Section("recall", "Objects found")
    section.say(
        "How many of a class's objects are shown by the first 16, 100 and 1000 hits. Findable is"
        " the share that any patch shows, which the choice of patches decides before any search."
    )
    depths = list(dict.fromkeys(depth for row in rows for depth in row["objects"]))
    lines: list[Line] = []
    last = ""
    for row in rows:
        level = str(row["level"])
        cells = [share_cell(row["objects"].get(depth)) for depth in depths]
        lines.append(
            (
                "" if level == last else level_name(level),
                query_name(row),
                *cells,
                Cell(share_text(row["findable"])),
                Cell(share_text(row["map"], 3)),
            )
        )
        last = level
    header = ("level", "query", *(f"in {depth} hits" for depth in depths), "findable", "mAP")
    caption = "Share of objects found, mean over queries, then over classes."
    section.table(DataTable(caption, header, tuple(lines), labels=2))
    if pictures.get("found"):
        section.pictures([pictures["found"]])
    return section


def profiles_section(results: Mapping[str, Any], pictures: Mapping[str, Picture]) -> Section | None:
    """Index profiles; None where none was measured."""
    rows = rows_of(results, "profiles")
    if not rows:
        return None
    section = Section("profiles", "Index profiles")
    section.say(
        f"Thesis table 4.4 on the vectors of {main_level(results) or 'the study'}: the profiles"
        " that partitions use, built and searched by the engine itself, with exact rescoring of"
        " what the codes or the graph give; and what the order of the codes alone would be worth."
    )
    lines: list[Line] = []
    for row in rows:
        name = str(row["profile"])
        if "skipped" in row:
            lines.append((name, Cell(f"not measured: {row['skipped']}"), *[""] * 5))
            continue
        by_kind = row.get("queries") or {}
        kinds = [by_kind.get(kind, {}).get("precision_at_16") for kind in ("image", "text")]
        ms = row.get("ms_per_query")
        lines.append(
            (
                name,
                share_cell(precision(row)[0]),
                *(Cell(spread_text(k["mean"], k["std"]) if k else "-") for k in kinds),
                Cell(count_text(round(float(row["bytes_per_vector"])))),
                Cell("-" if ms is None else f"{float(ms):.3f}"),
                Cell(share_text(row.get("recall_at_16"), 3)),
            )
        )
    header = (
        "profile",
        "precision@16",
        "crops",
        "texts",
        "bytes per vector",
        "ms per query",
        "recall@16",
    )
    section.table(DataTable("Mean of crops and texts, and each alone.", header, tuple(lines)))
    if pictures.get("profiles"):
        section.pictures([pictures["profiles"]])
    section.note(
        "Bytes per vector: the index; for exact, which has none, the stored vectors (two bytes a"
        " number), which the others read only to rescore. A codebook's bytes are divided by the"
        " number of vectors, so in a small table they show. Milliseconds: one query at a time on"
        " one thread. Recall@16 is against the exact order of the same vectors. thesis-pq64 is PCA"
        " to 128 numbers and 64 bytes of codes, compared exhaustively and never rescored, as in the"
        " thesis."
    )
    return section


def _table(rows: Sequence[Row]) -> DataTable:
    lines: list[Line] = []
    best: dict[str, float] = {}
    for row in rows:
        level = str(row["level"])
        best[level] = max(best.get(level, 0.0), precision(row)[0])
    last = ""
    for row in rows:
        level, (mean, std) = str(row["level"]), precision(row)
        lines.append(
            (
                "" if level == last else level_name(level),
                query_name(row),
                Cell(spread_text(mean, std), max(0.0, min(mean, 1.0)), mean == best[level]),
                Cell(share_text(row.get("reachable"))),
                Cell(share_text(row.get("single"))),
                Cell(small_share(float(row["chance"]))),
                Cell(share_text(row.get("map"), 3)),
                Cell(str(len(row["classes"]))),
                Cell(count_text(row["queries"])),
            )
        )
        last = level
    header = (
        "level",
        "query",
        "precision@16 (std)",
        "reachable",
        "one crop, same classes",
        "chance",
        "mAP",
        "classes",
        "queries",
    )
    caption = "Thesis table 4.3: exhaustive search by cosine."
    return DataTable(caption, header, tuple(lines), labels=2)


def _few_classes(rows: Sequence[Row], names: Sequence[str]) -> DataTable:
    """Levels and queries down, classes across, as in the thesis."""
    lines: list[Line] = []
    last = ""
    for row in rows:
        level = str(row["level"])
        cells = [_class_cell(row, name) for name in names]
        lines.append(("" if level == last else level_name(level), query_name(row), *cells))
        last = level
    caption = "Precision@16 (std) by class."
    return DataTable(caption, ("level", "query", *names), tuple(lines), labels=2)


def _many_classes(rows: Sequence[Row], names: Sequence[str], level: str) -> DataTable:
    """Classes down, the queries of one level across."""
    lines: list[Line] = []
    for name in names:
        cells = [_class_cell(row, name) for row in rows]
        for key in ("reachable", "chance"):
            one = _first_figure(rows, level, name, key)
            cells.append(Cell("-" if one is None else small_share(one)))
        lines.append((name, *cells))
    header = ("class", *(query_name(row) for row in rows), "reachable, one crop", "chance")
    return DataTable(f"Precision@16 (std) by class, level {level}.", header, tuple(lines))


def _class_cell(row: Row, name: str) -> Cell:
    one = row["classes"].get(name)
    if one is None:
        return Cell("-")
    mean, std = one["precision_at_16"]["mean"], one["precision_at_16"]["std"]
    return Cell(spread_text(mean, std), max(0.0, min(float(mean), 1.0)))


def _first_figure(rows: Sequence[Row], level: str, name: str, key: str) -> float | None:
    for row in rows:
        if row["level"] == level and name in row["classes"]:
            return float(row["classes"][name][key])
    return None


def _left_out(section: Section, results: Mapping[str, Any]) -> None:
    left_out = (results.get("retrieval") or {}).get("left_out") or {}
    if left_out:
        names = ", ".join(f"{name} ({why})" for name, why in left_out.items())
        section.note(f"Left out, with too few objects: {names}.")


def best_figures(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key figures of the searches: number, and what it is."""
    level = main_level(results)
    out = []
    for query, n, what in (
        ("text", 1, "precision@16 by text"),
        ("image", 1, "precision@16 by one crop"),
    ):
        row = found(results, level, query, n)
        if row is not None:
            out.append((share_text(precision(row)[0]), what))
    averages = [
        row
        for row in rows_of(results, "search")
        if row["level"] == level and row["query"] == "image" and row["n"] > 1
    ]
    if averages:
        row = max(averages, key=lambda one: int(one["n"]))
        out.append((share_text(precision(row)[0]), f"precision@16, average of {row['n']} crops"))
    return out
