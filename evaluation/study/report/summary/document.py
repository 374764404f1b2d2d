"""The summary's text: an overview of all studies, then each one's tables under its command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.study.report.number_text import bytes_text, share_text, small_share, spread_text
from evaluation.study.report.option_section import STUDIES
from evaluation.study.report.rows import (
    Row,
    class_captured,
    dataset_of,
    found,
    is_control,
    level_name,
    main_level,
    mean_captured,
    name_of,
    precision,
    query_name,
    rows_of,
)
from evaluation.study.report.summary.words import DATA, INTRODUCTION, THESIS

_FEW_CLASSES = 6

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True, eq=False)
class Study:
    """One finished study: where its report is, its results, the command that made it."""

    folder: Path
    results: Mapping[str, Any]
    command: str = ""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """File names as the text names them, each with its alt text."""

    @property
    def name(self) -> str:
        """The data set's."""
        return str(dataset_of(self.results).get("name") or self.folder.name)

    @property
    def made_with(self) -> str:
        """The command, as it was told or as the results have it."""
        told = (self.results.get("run") or {}).get("command")
        return self.command or str(told or f"patchsearch evaluate {self.name}")


def summary_text(studies: Sequence[Study]) -> str:
    """The whole page as Markdown, ending with a newline."""
    parts = [INTRODUCTION, "## At a glance\n", _markdown(_overview(studies))]
    parts += [
        "Captured objects and precision@16 are of the selector named: the mean, and what the best"
        " order could reach. `n` is the largest number of crops that is averaged; with n photos"
        " left out, less is left to be found.\n"
    ]
    parts.append(DATA)
    for study in studies:
        parts += _study(study)
    parts.append(THESIS)
    return "\n".join(parts).rstrip() + "\n"


def _overview(studies: Sequence[Study]) -> Table:
    header = (
        "data set",
        "photos",
        "selector",
        "patches a photo",
        "captured",
        "P@16 text",
        "P@16 crop",
        "P@16 average of n",
        "whole photo: crop",
        "command",
    )
    lines = []
    for study in studies:
        results, level = study.results, main_level(study.results)
        selection = _preset(results, level)
        level = level or str((selection or {}).get("selector", ""))
        averages = [
            row
            for row in rows_of(results, "search")
            if row["level"] == level and row["query"] == "image" and row["n"] > 1
        ]
        last = max(averages, key=lambda row: int(row["n"]), default=None)
        lines.append(
            (
                study.name,
                str(dataset_of(results).get("photos", "")),
                level,
                f"{selection['patches_per_image']:.1f}" if selection else "-",
                share_text(mean_captured(selection)) if selection else "-",
                _reached(found(results, level, "text", 1)),
                _reached(found(results, level, "image", 1)),
                f"{_reached(last)} (n = {last['n']})" if last else "-",
                _reached(found(results, "image", "image", 1)),
                f"`{study.made_with}`",
            )
        )
    return header, lines


def _study(study: Study) -> Iterator[str]:
    results = study.results
    told, run = dataset_of(results), results.get("run") or {}
    yield f"\n## {study.name}\n"
    yield f"    {study.made_with}\n"
    facts = [
        f"{told.get('photos', '?')} photos, {told.get('objects_counted', '?')} counted objects",
        f"encoder `{name_of(results.get('encoder'))}`",
        f"saliency `{name_of(results.get('saliency'))}`",
    ]
    if run.get("seconds"):
        facts.append(
            f"{run['seconds']:.0f} s with {run.get('workers', '?')} workers on"
            f" {run.get('cores', '?')} cores (less where an earlier run was taken up)"
        )
    yield ", ".join(facts) + ".\n"
    for name, alt in study.pictures:
        yield f"![{alt}]({name})\n"
    for title, table in _tables(results):
        yield f"### {title}\n"
        yield _markdown(table)
    left_out = (results.get("retrieval") or {}).get("left_out") or {}
    if left_out:
        names = ", ".join(f"{name} ({why.split(' ')[0]})" for name, why in left_out.items())
        yield f"Not searched for, with too few objects (their number): {names}.\n"


def _tables(results: Mapping[str, Any]) -> Iterator[tuple[str, Table]]:
    selection = rows_of(results, "selection")
    if selection:
        yield "Captured objects (thesis table 4.2)", _selection(selection)
    search = rows_of(results, "search")
    if search:
        yield "Searches (thesis table 4.3)", _search(search)
    recall = rows_of(results, "recall")
    if recall:
        yield "Objects found", _recall(recall, main_level(results))
    profiles = rows_of(results, "profiles")
    if profiles:
        yield f"Index profiles (thesis table 4.4), `{main_level(results)}`", _profiles(profiles)
    options = rows_of(results, "options")
    for name, (title, _) in STUDIES.items():
        rows = [row for row in options if row["option"] == name]
        if rows:
            yield title, _options(rows)


def _selection(rows: Sequence[Row]) -> Table:
    groups = list(dict.fromkeys(name for row in rows for name in row.get("captured_groups") or {}))
    classes = list(dict.fromkeys(name for row in rows for name in row.get("captured") or {}))
    shown = groups or (classes if 1 < len(classes) <= _FEW_CLASSES else [])
    lines = []
    for row in rows:
        captured = class_captured(row)
        name = str(row["selector"])
        lines.append(
            (
                f"{name} (control)" if is_control(row) else name,
                f"{float(row['patches_per_image']):.1f}",
                share_text(mean_captured(row)),
                *(share_text(captured.get(one)) for one in shown),
            )
        )
    return ("selector", "patches a photo", "captured", *shown), lines


def _search(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["classes"]))
    shown = names if 1 < len(names) <= _FEW_CLASSES else []
    lines = []
    for row in rows:
        classes = row["classes"]
        lines.append(
            (
                level_name(str(row["level"])),
                query_name(row),
                *(_spread(classes[name]) if name in classes else "-" for name in shown),
                _spread(row),
                share_text(row["reachable"]),
                small_share(float(row["chance"])),
                share_text(row["map"], 3),
                str(len(classes)),
            )
        )
    last = ("P@16 (std)", "reachable", "chance", "mAP", "classes")
    return ("level", "query", *shown, *last), lines


def _recall(rows: Sequence[Row], level: str) -> Table:
    lines = [
        (
            level_name(str(row["level"])),
            query_name(row),
            *(share_text(row["objects"].get(depth)) for depth in ("16", "100", "1000")),
            share_text(row["findable"]),
        )
        for row in rows
        if row["level"] in ("image", level)
    ]
    header = ("level", "query", "in 16 hits", "in 100", "in 1000", "findable in all")
    return header, lines


def _profiles(rows: Sequence[Row]) -> Table:
    lines = []
    for row in rows:
        if "skipped" in row:
            lines.append((str(row["profile"]), f"not measured: {row['skipped']}", *["-"] * 4))
            continue
        ms = row.get("ms_per_query")
        lines.append(
            (
                str(row["profile"]),
                _spread(row),
                share_text(row.get("recall_at_16"), 3),
                f"{float(row['bytes_per_vector']):.0f}",
                "-" if ms is None else f"{float(ms):.3f}",
                f"{float(row['build_s']) + float(row['train_s']):.1f}" if "build_s" in row else "-",
            )
        )
    header = ("profile", "P@16 (std)", "recall@16", "bytes a vector", "ms a query")
    return (*header, "build s"), lines


def _options(rows: Sequence[Row]) -> Table:
    priced = len({int(row["vectors"]) for row in rows}) > 1
    header = ["setting", "query", "P@16", "reachable", "objects in 100 hits", "findable", "mAP"]
    header += ["vectors a photo", "bytes of vectors"] if priced else []
    lines = []
    for row in rows:
        line = [
            str(row["label"]),
            str(row["query"]).replace("image", "crop"),
            share_text(precision(row)[0], 3),
            share_text(row["reachable"]),
            share_text(row["objects"].get("100")),
            share_text(row["findable"]),
            share_text(row["map"], 3),
        ]
        if priced:
            line += [
                f"{float(row['vectors_per_photo']):.1f}",
                bytes_text(float(row["vector_bytes"])),
            ]
        lines.append(line)
    return header, lines


def _preset(results: Mapping[str, Any], level: str) -> Row | None:
    rows = [row for row in rows_of(results, "selection") if not is_control(row)]
    return next((row for row in rows if row["selector"] == level), rows[-1] if rows else None)


def _reached(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{share_text(precision(row)[0])} of {share_text(row['reachable'])}"


def _spread(row: Row) -> str:
    return spread_text(*precision(row))


def _markdown(table: Table) -> str:
    header, lines = table
    rule = ["---", *["--:"] * (len(header) - 1)]
    rows = [header, rule, *lines]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
