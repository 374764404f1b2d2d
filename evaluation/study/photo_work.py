"""What is done with one photo: decoded once, seen by every selector, each box embedded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.study.embedding import EncoderChoice, EncoderEmbedder, RgbImage, open_embedder
from evaluation.study.photo_files import PhotoRefused, read_photo
from evaluation.study.stopwatch import Spent, Stopwatch
from evaluation.study.timed_saliency import TimedSaliency
from patch_selection import Selection, Selector, load_saliency, select_patches
from patchsearch.geometry import Box

_CHUNK = 256
"""Crops that are in memory at a time: a selector without a limit finds thousands in a panorama."""

BoxRow = tuple[int, int, int, int]
"""x, y, w, h in pixels."""


@dataclass(frozen=True)
class ChosenPatches:
    """The patches of one photo by one selector, in the selector's order.

    `boxes (n, 4) int32`, `level (n,) int32`, `score (n,) float32`. `saliency` is what `maps`
    maps took; `scoring` is the rest of the selection.
    """

    boxes: NDArray[np.int32]
    level: NDArray[np.int32]
    score: NDArray[np.float32]
    warnings: tuple[str, ...]
    saliency: Spent
    maps: int
    scoring: Spent


@dataclass(frozen=True)
class EmbeddedBoxes:
    """Unit rows `vectors (n, d) float16` of the boxes `(n, 4) int32`, and what they took."""

    boxes: NDArray[np.int32]
    vectors: NDArray[np.float16]
    cut: Spent
    embed: Spent


@dataclass(frozen=True)
class PhotoJob:
    """What is still to be done with a photo.

    `selectors`: by the key under which their patches are kept. `embedded`: keys among them, or of
    `chosen`, whose boxes are wanted as vectors. `chosen`: boxes chosen before; `known`: boxes that
    have vectors already. `extra`: further boxes to embed.
    """

    photo: int
    path: Path
    selectors: dict[str, Selector]
    embedded: frozenset[str]
    chosen: tuple[BoxRow, ...] = ()
    known: frozenset[BoxRow] = frozenset()
    extra: tuple[BoxRow, ...] = ()


@dataclass(frozen=True)
class PhotoResult:
    """What came of a job; `refused` is the kind of problem where the photo cannot be used."""

    photo: int
    decode: Spent = field(default_factory=Spent)
    chosen: dict[str, ChosenPatches] | None = None
    embedded: EmbeddedBoxes | None = None
    refused: str | None = None


class PhotoWork:
    """Does jobs, one at a time."""

    def __init__(self, saliency: TimedSaliency, embedder: EncoderEmbedder) -> None:
        self._saliency = saliency
        self._embedder = embedder

    def do(self, job: PhotoJob) -> PhotoResult:
        """Decodes the photo, selects and embeds."""
        watch = Stopwatch()
        try:
            photo = read_photo(job.path)
        except PhotoRefused as refused:
            return PhotoResult(job.photo, refused=refused.kind)
        decode = watch.spent()
        self._saliency.forget()
        chosen = {key: self._choose(photo, one) for key, one in job.selectors.items()}
        self._saliency.forget()
        wanted = dict.fromkeys((*job.chosen, *job.extra))
        for key in sorted(job.embedded & chosen.keys()):
            wanted.update(dict.fromkeys(map(_row, chosen[key].boxes.tolist())))
        boxes = [Box(*row) for row in wanted if row not in job.known]
        return PhotoResult(job.photo, decode, chosen, self._embed(photo, boxes))

    def _choose(self, photo: RgbImage, selector: Selector) -> ChosenPatches:
        model = self._saliency
        asked, spent, maps = model.asked, model.spent, model.maps
        watch = Stopwatch()
        selection = select_patches(photo, model, selector)
        scoring = watch.spent() - (model.spent - spent)
        return _chosen(selection, model.asked - asked, model.maps - maps, scoring)

    def _embed(self, photo: RgbImage, boxes: Sequence[Box]) -> EmbeddedBoxes:
        vectors, cut, embed = [np.empty((0, self._embedder.dim), np.float16)], Spent(), Spent()
        for part in _chunks(boxes):
            watch = Stopwatch()
            pixels = self._embedder.cut(photo, part)
            cut += watch.spent()
            watch = Stopwatch()
            vectors.append(self._embedder.embed(pixels).astype(np.float16))
            embed += watch.spent()
        rows = np.array([(b.x, b.y, b.w, b.h) for b in boxes], np.int32).reshape(-1, 4)
        return EmbeddedBoxes(rows, np.concatenate(vectors), cut, embed)


def open_photo_work(saliency: str | None, encoder: EncoderChoice) -> PhotoWork:
    """Opens models for this process, on one thread: photos are worked on side by side."""
    embedder = open_embedder(encoder, threads=1)
    model = load_saliency() if saliency is None else load_saliency(saliency)
    return PhotoWork(TimedSaliency(model), embedder)


def _chosen(selection: Selection, saliency: Spent, maps: int, scoring: Spent) -> ChosenPatches:
    boxes = [(p.box.x, p.box.y, p.box.w, p.box.h) for p in selection.patches]
    return ChosenPatches(
        boxes=np.array(boxes, np.int32).reshape(-1, 4),
        level=np.array([patch.level for patch in selection.patches], np.int32),
        score=np.array([patch.score for patch in selection.patches], np.float32),
        warnings=selection.warnings,
        saliency=saliency,
        maps=maps,
        scoring=scoring,
    )


def _row(values: list[int]) -> BoxRow:
    x, y, w, h = values
    return x, y, w, h


def _chunks(boxes: Sequence[Box]) -> Iterator[Sequence[Box]]:
    for start in range(0, len(boxes), _CHUNK):
        yield boxes[start : start + _CHUNK]
