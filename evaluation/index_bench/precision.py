"""Precision at k on a table with classes: does it find the other places that show the same?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.relevance import without_overlaps
from patchsearch.geometry import Box

LEAST_QUERIES = 20
_FIRST_DEPTH = 2

Search = Callable[[NDArray[np.float32], int], NDArray[np.int64]]
"""(query, count) -> at most `count` rows, best first."""


@dataclass(frozen=True, eq=False, slots=True)
class ClassTable:
    """What is relevant to whom. Rows: `boxes` (n, 4) x, y, w, h, `images` (n,), `relevant` (m, 2)
    pairs of row and class. Queries: `queries` (q, dim) float32, `query_images`, `query_classes`."""

    boxes: NDArray[np.int64]
    images: NDArray[np.int64]
    relevant: NDArray[np.int64]
    queries: NDArray[np.float32]
    query_images: NDArray[np.int64]
    query_classes: NDArray[np.int64]


def load_classes(path: Path) -> ClassTable:
    """Reads the classes of a table that has them."""
    with np.load(path, allow_pickle=False) as table:
        return ClassTable(
            table["boxes"].astype(np.int64),
            table["image"].astype(np.int64),
            table["relevant"].astype(np.int64),
            table["query_vectors"].astype(np.float32),
            table["query_image"].astype(np.int64),
            table["query_class"].astype(np.int64),
        )


def precision_at(
    k: int, table: ClassTable, search: Search, *, least_queries: int = LEAST_QUERIES
) -> float | None:
    """Mean over classes with at least `least_queries` queries of their queries' mean precision.

    Patches of the query's own image do not count; of overlapping patches of one image only the
    best does; the first `k` of the rest are divided by `k`. None without such a class.
    """
    classes, counts = np.unique(table.query_classes, return_counts=True)
    means = []
    for name in classes[counts >= least_queries].tolist():
        good = set(table.relevant[table.relevant[:, 1] == name, 0].tolist())
        shares = []
        for number in np.flatnonzero(table.query_classes == name).tolist():
            best = _best(k, table, number, search)
            shares.append(sum(row in good for row in best) / k)
        means.append(float(np.mean(shares)))
    return float(np.mean(means)) if means else None


def _best(k: int, table: ClassTable, number: int, search: Search) -> list[int]:
    """The first `k` rows that the protocol leaves; asks for more of them until there are."""
    depth = min(_FIRST_DEPTH * k, len(table.boxes))
    while True:
        rows = search(table.queries[number], depth)
        rows = rows[table.images[rows] != table.query_images[number]]
        images = table.images[rows].tolist()
        boxes = [Box(*box) for box in table.boxes[rows].tolist()]
        # The order is all that is known of an engine's scores.
        kept = without_overlaps(-np.arange(len(rows)), images, boxes, k=k)
        if len(kept) == k or depth == len(table.boxes):
            return [int(rows[place]) for place in kept]
        depth = min(2 * depth, len(table.boxes))
