"""Searches as pictures: what was asked on top, the hits below, right ones green, wrong ones red."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.study.model import StudyDataset
from evaluation.study.photo_files import PhotoRefused, read_photo
from evaluation.study.report.page import Picture
from evaluation.study.retrieval.examples import Example, ExampleHit
from patchsearch.geometry import Box
from patchsearch.pixels import Pixels
from patchsearch.sheet import SheetHit, SheetQuery, contact_sheet

FOLDER = "galleries"

_MOST_QUERIES = 8
_COLUMNS = 8
_QUALITY = 85


def draw_gallery(
    folder: Path, dataset: StudyDataset, examples: Sequence[Example]
) -> list[tuple[Example, Picture]]:
    """Writes a contact sheet as JPEG for each search below `folder/galleries`.

    A photo that has gone or broken since becomes a grey tile that says so.
    """
    if examples:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    out = []
    for number, example in enumerate(examples):
        name = f"{FOLDER}/{number:02d}-{_slug(example.name)}-{_slug(example.what)}.jpg"
        sheet = contact_sheet(
            _title(example),
            _queries(dataset, example),
            [_hit(dataset, hit) for hit in example.hits],
            columns=_COLUMNS,
        )
        # Without subsampling, so that the frames keep their colours.
        sheet.save(folder / name, quality=_QUALITY, subsampling=0, optimize=True)
        right = sum(hit.right for hit in example.hits)
        alt = (
            f"{_title(example)}: {len(example.hits)} hits, {right} of them right, best first,"
            " each a part of a photo with its rank and cosine"
        )
        caption = f"{_title(example)}: precision@16 {example.precision:.2f}"
        out.append((example, Picture(name, alt, caption)))
    return out


def _title(example: Example) -> str:
    if example.texts and not example.crops:
        return f"{example.name}: “{', '.join(example.texts)}”"
    return f"{example.name}: {example.what}"


def _queries(dataset: StudyDataset, example: Example) -> list[SheetQuery | Pixels]:
    shown: list[SheetQuery | Pixels] = [
        SheetQuery(_cut(dataset, photo, box)) for photo, box in example.crops[:_MOST_QUERIES]
    ]
    shown += [SheetQuery(None, caption=text) for text in example.texts]
    more = len(example.crops) - _MOST_QUERIES
    if more > 0:
        shown[-1] = SheetQuery(None, caption=f"and {more + 1} more")
    return shown


def _cut(dataset: StudyDataset, photo: int, box: Box) -> Pixels:
    try:
        pixels = read_photo(dataset.photos[photo].path)
    except PhotoRefused:
        return dataset.photos[photo].path
    return np.ascontiguousarray(pixels[box.y : box.bottom, box.x : box.right])


def _hit(dataset: StudyDataset, hit: ExampleHit) -> SheetHit:
    photo = dataset.photos[hit.photo]
    return SheetHit(photo.path, hit.box, hit.score, Path(photo.name).name, hit.right)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "search"
