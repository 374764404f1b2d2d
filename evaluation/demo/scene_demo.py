"""The demo on generated street scenes, whose ground truth tells how many of the hits are right."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from evaluation.demo.asking import Answer, ask, draw_sheet
from evaluation.demo.deployment import served
from evaluation.demo.gallery import Sheet, write_page
from evaluation.demo.ingesting import IngestFigures, put_in
from evaluation.scenes import TARGET_CLASSES, write_scenes
from evaluation.truth import GroundTruth, read_coco
from patchsearch import Box, Client, Crop, Hit, TermLike, Text
from patchsearch.errors import InvalidArgument

K = 16
QUERY_CROPS = 20
MARGIN = 0.1
"""Added to each side of an object's box, as a share of it, when it is cut out as a query."""

TEXTS: Mapping[str, Sequence[str]] = {
    "ambulance": ("an ambulance", "a photo of an ambulance", "an ambulance on the road"),
    "animal": ("an animal", "a photo of an animal", "an animal on the road"),
    "road-narrows": (
        "a road narrows sign",
        "a photo of a road narrows sign",
        "a traffic sign warning that the road narrows",
    ),
}
"""The text queries of each class; the table shows the mean over them (thesis table 4.1)."""


@dataclass(frozen=True)
class Outcome:
    """One way to ask for one class: precision@16 and time, the mean over its queries."""

    precision: float
    milliseconds: float
    best: Answer
    """The answer that the contact sheet shows: the first query's."""


def run_scenes(
    out: Path, encoder: str, scenes: int, query_scenes: int, seed: int, console: Console
) -> None:
    """Generates scenes, serves, ingests, searches; writes page, PNGs and results.json to `out`.

    What an earlier run with the same arguments made is used again.
    """
    home = (
        out / f"scenes-{scenes}-{query_scenes}-{seed}-{encoder.replace(':', '-').replace('/', '-')}"
    )
    truth = _scenes(home / "archive", scenes, seed, "the archive", console)
    asked = _scenes(home / "queries", query_scenes, seed + 1, "photos to cut queries from", console)
    with served(home / "data", encoder, console) as client:
        photos = sorted(truth.folder.glob("*.jpg"))
        figures = put_in(client, photos, home / "ingest.json", console)
        outcomes, milliseconds = _search(client, truth, asked)
    _table(outcomes, figures, console)
    _write(out, outcomes, figures, milliseconds, truth, console)


def _scenes(folder: Path, count: int, seed: int, what: str, console: Console) -> GroundTruth:
    annotations = folder / "annotations.json"
    if not annotations.is_file():
        with console.status("") as status:
            done = 0

            def tell(_: int) -> None:
                nonlocal done
                done += 1
                status.update(f"drawing {what}: {done} of {count} street scenes")

            write_scenes(folder, count, seed, on_scene=tell)
        console.print(f"drew {count} street scenes: {what}")
    return read_coco(annotations)


def _search(
    client: Client, truth: GroundTruth, asked: GroundTruth
) -> tuple[dict[str, dict[str, Outcome]], list[float]]:
    outcomes: dict[str, dict[str, Outcome]] = {"text": {}, "crop": {}, "average": {}}
    times: list[float] = []
    for name in track(TARGET_CLASSES, "search", transient=True):
        crops = query_crops(asked, TARGET_CLASSES[name])
        ways: dict[str, list[tuple[str, list[TermLike], list[NDArray[np.uint8]]]]] = {
            "text": [(f"“{text}”", [Text(text)], []) for text in TEXTS[name]],
            "crop": [("one crop", [Crop(crop)], [crop]) for crop in crops],
            "average": [(f"the average of {len(crops)} crops", [Crop(c) for c in crops], crops)],
        }
        for way, queries in ways.items():
            answers = [ask(client, title, terms, shown, K) for title, terms, shown in queries]
            precisions = [_precision(answer, truth, TARGET_CLASSES[name]) for answer in answers]
            times += [answer.milliseconds for answer in answers]
            outcomes[way][name] = Outcome(
                statistics.fmean(precisions),
                statistics.fmean(answer.milliseconds for answer in answers),
                answers[0],
            )
    return outcomes, times


def _precision(answer: Answer, truth: GroundTruth, categories: Sequence[str]) -> float:
    return sum(_is_right(truth, categories, hit) for hit in answer.hits) / K


def _is_right(truth: GroundTruth, categories: Sequence[str], hit: Hit) -> bool:
    return truth.shows(hit.image_id, hit.box, categories)


def query_crops(asked: GroundTruth, categories: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Cuts the first `QUERY_CROPS` well visible objects, at least 32 px on their short side, from
    the photos to ask with; none of these photos is in the archive. `(h, w, 3)` uint8 RGB each.

    Raises InvalidArgument (QUERIES_MISSING) when there is no such object.
    """
    crops = []
    for name, thing in asked.of(categories):
        if thing.visible < 0.8 or min(thing.box.w, thing.box.h) < 32:
            continue
        with Image.open(asked.folder / name) as photo:
            dx, dy = round(thing.box.w * MARGIN), round(thing.box.h * MARGIN)
            box = Box(
                thing.box.x - dx, thing.box.y - dy, thing.box.w + 2 * dx, thing.box.h + 2 * dy
            ).clipped(*photo.size)
            crops.append(
                np.asarray(photo.convert("RGB").crop((box.x, box.y, box.right, box.bottom)))
            )
        if len(crops) == QUERY_CROPS:
            break
    if not crops:
        raise InvalidArgument(
            "QUERIES_MISSING",
            f"no photo to cut queries from shows {' or '.join(categories)}; draw more of them with"
            " --query-scenes",
        )
    return crops


def _rows(outcomes: Mapping[str, Mapping[str, Outcome]]) -> list[list[str]]:
    rows = []
    for name in [*TARGET_CLASSES, "mean"]:
        cells = [name]
        for way in outcomes.values():
            chosen = list(way.values()) if name == "mean" else [way[name]]
            cells.append(f"{statistics.fmean(one.precision for one in chosen):.2f}")
            cells.append(f"{statistics.fmean(one.milliseconds for one in chosen):.0f} ms")
        rows.append(cells)
    return rows


HEADER = ("precision@16", "text", "time", "one crop", "time", "average of 20", "time")


def _table(
    outcomes: Mapping[str, Mapping[str, Outcome]], figures: IngestFigures, console: Console
) -> None:
    table = Table(*HEADER, title=f"{figures.photos} photos, {figures.patches} patches")
    for row in _rows(outcomes):
        table.add_row(*row, end_section=row[0] == list(TARGET_CLASSES)[-1])
    console.print(table)


def _write(
    out: Path,
    outcomes: Mapping[str, Mapping[str, Outcome]],
    figures: IngestFigures,
    milliseconds: Sequence[float],
    truth: GroundTruth,
    console: Console,
) -> None:
    precision = {
        way: {name: round(one.precision, 4) for name, one in classes.items()}
        | {"mean": round(statistics.fmean(one.precision for one in classes.values()), 4)}
        for way, classes in outcomes.items()
    }
    results = {
        "precision_at_16": precision,
        "ingest_photos_per_s": figures.photos_per_s,
        "search_p50_ms": round(statistics.median(milliseconds), 2),
        "photos": figures.photos,
        "patches": figures.patches,
    }
    sheets = []
    for way, classes in outcomes.items():
        for name, outcome in classes.items():
            file_name = f"{name}-{way}.png"
            categories = TARGET_CLASSES[name]
            draw_sheet(
                outcome.best,
                out / file_name,
                truth.folder,
                partial(_is_right, truth, categories),
            )
            note = f"precision@16 of all {way} queries for this class: {outcome.precision:.2f}"
            sheets.append(Sheet(f"{name}: {outcome.best.title}", note, file_name))
    lead = (
        f"{figures.photos} generated street scenes, {figures.patches} patches,"
        f" {figures.photos_per_s:.1f} photos a second at ingest."
        " Green frames show the class, red ones do not."
    )
    write_page(
        out / "index.html", "patchsearch: what it found", lead, HEADER, _rows(outcomes), sheets
    )
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"contact sheets: {out / 'index.html'}\nfigures: {out / 'results.json'}")
