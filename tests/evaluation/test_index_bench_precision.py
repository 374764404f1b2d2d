"""The precision protocol: by hand on a tiny table, and on real vectors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.index_bench.precision import ClassTable, load_classes, precision_at

DATA = Path(os.environ.get("PATCHSEARCH_DATA", Path(__file__).resolve().parents[3] / "shared"))
TABLE = DATA / "data" / "gtsdb-vectors" / "table.npz"


def _table(query_classes: list[int], relevant: list[tuple[int, int]]) -> ClassTable:
    """Six rows: 0 and 1 overlap in image 7, 2 is beside them, 3 in image 8, 4 and 5 in image 9.
    All queries are cut from image 9."""
    x = np.array([0, 50, 200, 0, 0, 200])
    columns = (x, np.zeros(6), np.full(6, 100), np.full(6, 100))
    boxes = np.stack(columns, axis=1).astype(np.int64)
    queries = len(query_classes)
    return ClassTable(
        boxes=boxes,
        images=np.array([7, 7, 7, 8, 9, 9]),
        relevant=np.array(relevant),
        queries=np.zeros((queries, 4), np.float32),
        query_images=np.full(queries, 9),
        query_classes=np.array(query_classes),
    )


def _in_order(query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    return np.arange(6)[::-1][:count]


def test_own_image_and_worse_overlapping_patches_do_not_count() -> None:
    # Best first: 5 and 4 (own image), 3, 2, 1, 0 (overlaps 1). The first two that count: 3, 2.
    table = _table([1], [(3, 1), (4, 1), (5, 1)])
    assert precision_at(1, table, _in_order, least_queries=1) == 1.0
    assert precision_at(2, table, _in_order, least_queries=1) == 0.5
    # 3, 2 and 1 are left; 0 is not, so a fourth cannot be.
    table = _table([1], [(0, 1), (1, 1)])
    assert precision_at(4, table, _in_order, least_queries=1) == 0.25


def test_classes_count_alike_and_rare_ones_not_at_all() -> None:
    # Class 1: three queries at 1.0; class 2: two at 0.0; class 3: one, too few.
    table = _table([1, 1, 1, 2, 2, 3], [(3, 1), (2, 1), (3, 3)])
    assert precision_at(2, table, _in_order, least_queries=2) == 0.5
    assert precision_at(2, table, _in_order, least_queries=4) is None


@pytest.mark.skipif(not TABLE.is_file(), reason=f"no table at {TABLE}; set PATCHSEARCH_DATA")
def test_exhaustive_search_of_real_vectors_has_the_precision_that_is_known() -> None:
    classes = load_classes(TABLE)
    with np.load(TABLE, allow_pickle=False) as table:
        vectors = table["vectors"].astype(np.float32)
    place = {query.tobytes(): number for number, query in enumerate(classes.queries)}
    scores = classes.queries @ vectors.T

    def exhaustive(query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        mine = scores[place[query.tobytes()]]
        best = np.argpartition(-mine, min(count, len(mine) - 1))[:count]
        return best[np.argsort(-mine[best], kind="stable")]

    found = precision_at(16, classes, exhaustive)
    assert found is not None
    assert found == pytest.approx(0.273, abs=0.0005)
