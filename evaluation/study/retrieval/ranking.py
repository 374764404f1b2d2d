"""Exhaustive search: every patch is compared with every query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.study.retrieval.collection import Collection

_SCORES_AT_ONCE = 1 << 24
_ROWS_AT_ONCE = 1 << 15
_LOOKED_AT = 2048


def scores_of(
    queries: NDArray[np.float32], collection: Collection
) -> Iterator[NDArray[np.float32]]:
    """The cosines of each query `(q, d)` with all rows: `(n,)` float32, query by query.

    Products are made for many queries at a time; the stored float16 vectors become float32 block
    by block, so memory does not grow with the table.
    """
    rows = len(collection)
    step = max(1, _SCORES_AT_ONCE // max(rows, 1))
    vectors = collection.table.vectors
    for start in range(0, len(queries), step):
        some = np.ascontiguousarray(queries[start : start + step], np.float32)
        scores = np.empty((len(some), rows), np.float32)
        for begin in range(0, rows, _ROWS_AT_ONCE):
            block = vectors[begin : begin + _ROWS_AT_ONCE].astype(np.float32)
            np.matmul(some, block.T, out=scores[:, begin : begin + len(block)])
        yield from scores


def ranked(
    scores: NDArray[np.float32], collection: Collection, left_out: NDArray[np.int64]
) -> NDArray[np.int64]:
    """All rows best first, without those of the photos `left_out`; equal scores go by row."""
    order = np.argsort(-scores, kind="stable")
    if len(left_out):
        order = order[~np.isin(collection.table.photo[order], left_out)]
    return order


def without_overlaps(order: NDArray[np.int64], collection: Collection, k: int) -> NDArray[np.int64]:
    """The first `k` rows of `order` that share no pixel with a better one of the same photo.

    The same rows as `relevance.without_overlaps` keeps.
    """
    starts, neighbours = collection.starts, collection.neighbours
    dropped = np.zeros(len(collection), bool)
    kept: list[int] = []
    for begin in range(0, len(order), _LOOKED_AT):
        for row in order[begin : begin + _LOOKED_AT].tolist():
            if dropped[row]:
                continue
            kept.append(row)
            if len(kept) == k:
                return np.array(kept, np.int64)
            dropped[neighbours[starts[row] : starts[row + 1]]] = True
    return np.array(kept, np.int64)
