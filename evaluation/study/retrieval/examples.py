"""Searches to look at: what was asked and what came, right or wrong (thesis figures 4.3-4.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.study.model import StudyDataset
from evaluation.study.retrieval.judging import Judge, Judged
from evaluation.study.retrieval.queries import Query, widened
from evaluation.study.retrieval.ranking import ranked, scores_of
from evaluation.study.retrieval.searching import Level
from patchsearch.geometry import Box


@dataclass(frozen=True, slots=True)
class ExampleHit:
    """One hit: the photo (by its index), where in it, the cosine, and whether it is right."""

    photo: int
    box: Box
    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Example:
    """One search of a gallery.

    `crops`: photo and box of each picture that was asked with; `texts`: the words. `what` says why
    it is shown.
    """

    name: str
    level: str
    what: str
    crops: tuple[tuple[int, Box], ...]
    texts: tuple[str, ...]
    precision: float
    hits: tuple[ExampleHit, ...]


def class_examples(
    dataset: StudyDataset,
    level: Level,
    name: str,
    crops: Sequence[Query],
    texts: Sequence[Query],
    averages: Sequence[Query],
    margin: float,
) -> list[Example]:
    """The crop that finds most, the one that finds least, the best wording and an average."""
    judge = level.judges[name]
    out = []
    searched = _searched(level, judge, crops)
    if searched:
        ordered = sorted(searched, key=lambda one: -one[1].precision)
        chosen = [("the best of the single crops", ordered[0])]
        if len(ordered) > 1:
            chosen.append(("the poorest of the single crops", ordered[-1]))
        out += [
            _example(dataset, level, judge, name, what, *one, margin=margin) for what, one in chosen
        ]
    if averages:
        (one,) = _searched(level, judge, averages[:1])
        what = f"the average of {averages[0].n} crops"
        out.append(_example(dataset, level, judge, name, what, *one, margin=margin))
    if texts:
        best = max(_searched(level, judge, texts), key=lambda one: one[1].precision)
        out.append(_example(dataset, level, judge, name, "text", *best, margin=margin))
    return out


def _searched(
    level: Level, judge: Judge, queries: Sequence[Query]
) -> list[tuple[Query, Judged, NDArray[np.float32]]]:
    """Each query with what it found and the scores of its hits."""
    if not queries:
        return []
    out = []
    vectors = np.stack([query.vector for query in queries])
    scored = scores_of(vectors, level.collection)
    for query, scores in zip(queries, scored, strict=True):
        order = ranked(scores, level.collection, query.left_out)
        judged = judge.judge(order, query.left_out)
        out.append((query, judged, scores[judged.hits]))
    return out


def _example(
    dataset: StudyDataset,
    level: Level,
    judge: Judge,
    name: str,
    what: str,
    query: Query,
    judged: Judged,
    scores: NDArray[np.float32],
    *,
    margin: float,
) -> Example:
    table, objects = level.collection.table, level.collection.objects
    crops = []
    for number in query.objects:
        photo = int(objects.photo[number])
        size = dataset.photos[photo].width, dataset.photos[photo].height
        crops.append((photo, widened(Box(*objects.boxes[number].tolist()), margin, *size)))
    hits = tuple(
        ExampleHit(
            int(table.photo[row]),
            Box(*table.boxes[row].tolist()),
            float(score),
            bool(judge.relevant[row]),
        )
        for row, score in zip(judged.hits.tolist(), scores, strict=True)
    )
    return Example(
        name, level.collection.name, what, tuple(crops), query.texts, judged.precision, hits
    )
