"""The report of a study: a folder with a page, its pictures and its figures as CSV."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from evaluation.study.model import StudyDataset
from evaluation.study.report.csv_files import write_csv_files
from evaluation.study.report.galleries import draw_gallery
from evaluation.study.report.number_text import count_text, share_text
from evaluation.study.report.option_section import options_section
from evaluation.study.report.page import Picture, Section, page_html
from evaluation.study.report.rows import (
    dataset_of,
    is_control,
    main_level,
    mean_captured,
    name_of,
    rows_of,
)
from evaluation.study.report.search_sections import (
    best_figures,
    profiles_section,
    recall_section,
    search_section,
)
from evaluation.study.report.selection_section import selection_section
from evaluation.study.retrieval.results import RetrievalResults

PAGE = "index.html"

_NO_PLOTS = "Plots are left out: matplotlib is not installed (pip install 'patchsearch[bench]')."


def write_report(
    folder: Path,
    results: Mapping[str, Any],
    dataset: StudyDataset,
    retrieval: RetrievalResults | None,
) -> Path:
    """Writes `index.html` and everything it names into `folder`; returns the page's path.

    `results` is what results.json holds; parts that are not there are left out of the page.
    Without `retrieval` there are no galleries, without matplotlib no plots; the page says so. The
    folder can be moved as it is. Raises OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_csv_files(folder, results)
    pictures: dict[str, Picture] = {}
    options: Picture | None = None
    can_plot = importlib.util.find_spec("matplotlib") is not None
    if can_plot:
        from evaluation.study.report.option_plots import draw_option_plots
        from evaluation.study.report.plots import draw_plots

        pictures = draw_plots(folder, results)
        options = draw_option_plots(folder, results)
    parts = [
        selection_section(results, pictures),
        search_section(results, pictures),
        recall_section(results, pictures),
        profiles_section(results, pictures),
        options_section(results, options),
        _gallery_section(folder, dataset, retrieval),
        _about_section(results, dataset, can_plot),
    ]
    sections = [section for section in parts if section is not None]
    told = dataset_of(results)
    name = str(told.get("name") or dataset.name)
    page = page_html(
        f"Selection and retrieval on {name}",
        _lead(results, dataset),
        _tiles(results),
        sections,
        "Written by patchsearch evaluate. The figures are in results.json and the CSV files beside"
        " this page.",
    )
    path = folder / PAGE
    path.write_text(page, encoding="utf-8")
    return path


def _lead(results: Mapping[str, Any], dataset: StudyDataset) -> str:
    counted = sum(thing.counted for photo in dataset.photos for thing in photo.objects)
    encoder, saliency = name_of(results.get("encoder")), name_of(results.get("saliency"))
    models = [f"encoder {encoder}"] if encoder else []
    models += [f"saliency model {saliency}"] if saliency else []
    lead = (
        f"{count_text(len(dataset.photos))} photos, {count_text(counted)} counted objects in"
        f" {len(dataset.categories)} classes"
    )
    return f"{lead}; {', '.join(models)}." if models else f"{lead}."


def _tiles(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    tiles = []
    level = main_level(results)
    rows = [
        row
        for row in rows_of(results, "selection")
        if not is_control(row) and mean_captured(row) is not None
    ]
    if rows:
        chosen = next((row for row in rows if row["selector"] == level), rows[-1])
        what = (
            f"of the objects captured by {chosen['selector']},"
            f" {float(chosen['patches_per_image']):.0f} patches a photo"
        )
        tiles.append((share_text(mean_captured(chosen)), what))
    return tiles + best_figures(results)


def _gallery_section(
    folder: Path, dataset: StudyDataset, retrieval: RetrievalResults | None
) -> Section | None:
    if retrieval is None or not retrieval.examples:
        return None
    section = Section("galleries", "Queries and hits")
    section.body.append(
        "<p>On top what was asked, below the first 16 hits, best first, with their cosine. A <span"
        ' class="right">green</span> frame: the patch shows the class. A <span class="wrong">red'
        "</span> one: it does not, by the annotations. The yellow box is the patch.</p>"
    )
    drawn = draw_gallery(folder, dataset, retrieval.examples)
    for name, some in groupby(drawn, key=lambda one: one[0].name):
        section.head(name)
        section.pictures([picture for _, picture in some])
    return section


def _about_section(results: Mapping[str, Any], dataset: StudyDataset, can_plot: bool) -> Section:
    section = Section("about", "About this study")
    if not can_plot:
        section.note(_NO_PLOTS)
    problems = results.get("problems") or dataset_of(results).get("problems") or dataset.problems
    if problems:
        section.head("Problems in the data")
        section.terms((str(kind).replace("_", " "), str(told)) for kind, told in problems.items())
    for note in results.get("notes") or ():
        section.note(str(note))
    warnings = rows_of(results, "warnings")
    if warnings:
        section.head("Warnings of the selection")
        section.terms(
            (str(row.get("selector")), f"{row.get('warning')} ({row.get('photos')} photos)")
            for row in warnings
        )
    about = results.get("retrieval") or {}
    classes = about.get("classes") or {}
    if classes:
        section.head("What was looked for")
        section.terms(
            (name, f"{one['crops']} crops; “{'”, “'.join(one['texts'])}”")
            for name, one in classes.items()
        )
    section.head("Settings")
    run = {**(results.get("run") or {}), **(about.get("settings") or {})}
    for key in ("encoder", "saliency"):
        told = results.get(key)
        if isinstance(told, Mapping):
            run = {**{f"{key} {name}": value for name, value in told.items()}, **run}
    section.terms((name.replace("_", " "), str(value)) for name, value in run.items())
    return section
