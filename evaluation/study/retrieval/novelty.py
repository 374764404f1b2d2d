"""Leaving out patches that show what is known already (thesis section 5.5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.study.model import PatchTable


def new_rows(table: PatchTable, limit: float) -> NDArray[np.int64]:
    """Rows that are kept when photos come in order, as from a drive.

    A patch is kept when its best cosine with the patches kept of earlier photos is below `limit`;
    patches of its own photo do not compete. All of the first photo are kept.
    """
    kept_rows: list[NDArray[np.int64]] = []
    known = np.empty((len(table.photo), table.vectors.shape[1]), np.float32)
    count = 0
    for rows in photo_runs(table):
        vectors = table.vectors[rows].astype(np.float32)
        if count:
            new = (vectors @ known[:count].T).max(axis=1) < limit
            rows, vectors = rows[new], vectors[new]
        known[count : count + len(rows)] = vectors
        count += len(rows)
        kept_rows.append(rows)
    return np.concatenate(kept_rows) if kept_rows else np.empty(0, np.int64)


def best_known(table: PatchTable) -> NDArray[np.float32]:
    """Each row's best cosine with any patch of an earlier photo: (n,) float32; -1 in the first."""
    vectors = table.vectors.astype(np.float32)
    out = np.full(len(vectors), -1.0, np.float32)
    for rows in photo_runs(table):
        if rows[0]:
            out[rows] = (vectors[rows] @ vectors[: rows[0]].T).max(axis=1)
    return out


def photo_runs(table: PatchTable) -> Iterator[NDArray[np.int64]]:
    """The rows of each photo in turn."""
    if len(table.photo):
        borders = np.flatnonzero(np.diff(table.photo)) + 1
        yield from np.split(np.arange(len(table.photo)), borders)
