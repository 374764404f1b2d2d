"""Figures of ranking: texts against crops, crops against crops. Exhaustive, by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

LEAST_CROPS = 3
"""A class with fewer crops is not asked for (its crops stay in the collection)."""


@dataclass(frozen=True)
class TextFigures:
    """Means over `classes` asked for among `crops`: mean average precision, what chance gives,
    precision of the first and the first five; and how many of all crops are named rightly."""

    mean_ap: float
    chance: float
    at_1: float
    at_5: float
    zero_shot: float
    classes: int
    crops: int


@dataclass(frozen=True)
class CropFigures:
    """Means over `queries` crops: precision of the first and the first five others, mean average
    precision (over queries that have a match), and the `ceiling` of the precision of five: what a
    perfect ranking reaches where classes have fewer than six crops."""

    at_1: float
    at_5: float
    mean_ap: float
    ceiling: float
    queries: int


def average_precision(relevant: NDArray[np.bool_]) -> float:
    """Of one ranking, best first: the mean of the precision at each relevant place; 0 for none."""
    places = np.flatnonzero(relevant)
    if not len(places):
        return 0.0
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def text_to_crop(texts: Floats, crops: Floats, labels: Labels) -> TextFigures:
    """`texts (classes, d)`, `crops (n, d)`, unit rows; `labels (n,)` rows of `texts`. Classes with
    fewer than `LEAST_CROPS` crops are not asked for. Raises ValueError where none is left."""
    counts = np.bincount(labels, minlength=len(texts))
    asked = np.flatnonzero(counts >= LEAST_CROPS)
    if not len(asked):
        raise ValueError(f"no class has {LEAST_CROPS} crops")
    scores = crops @ texts.T
    ranked = labels[np.argsort(-scores[:, asked], axis=0, kind="stable")] == asked
    return TextFigures(
        mean_ap=float(np.mean([average_precision(column) for column in ranked.T])),
        chance=float(counts[asked].mean() / len(labels)),
        at_1=float(ranked[0].mean()),
        at_5=float(ranked[:5].mean()),
        zero_shot=float((scores.argmax(axis=1) == labels).mean()),
        classes=len(asked),
        crops=len(labels),
    )


def crop_to_crop(
    crops: Floats, labels: Labels, queries: Sequence[int] | NDArray[np.int64] | None = None
) -> CropFigures:
    """Every crop of `queries` (default all) against all others; a match has the same label."""
    rows = np.arange(len(crops)) if queries is None else np.asarray(queries)
    ranked = []
    for row in rows.tolist():
        scores = crops @ crops[row]
        scores[row] = -np.inf
        order = np.argsort(-scores, kind="stable")[:-1]
        ranked.append(labels[order] == labels[row])
    relevant = np.stack(ranked)
    matches = relevant.sum(axis=1)
    return CropFigures(
        at_1=float(relevant[:, 0].mean()),
        at_5=float(relevant[:, :5].mean()),
        mean_ap=float(np.mean([average_precision(r) for r in relevant[matches > 0]])),
        ceiling=float(np.minimum(matches, 5).mean() / 5),
        queries=len(rows),
    )
