"""One level of patches, ready to be searched and judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.relevance import COVER
from evaluation.study.model import PatchTable
from evaluation.study.retrieval.capturing import (
    Captures,
    Objects,
    captured_pairs,
    shared_pixels,
)
from evaluation.study.retrieval.options import IMAGE_LEVEL


@dataclass(frozen=True, eq=False)
class Collection:
    """A table with what searches of it need to know. Not to be written to; safe to share.

    `neighbours`: rows of the same photo that share a pixel with row i, itself left out, are
    `neighbours[starts[i]:starts[i + 1]]`. `captures`: what each patch shows. `photos`: photos of
    the data set, those without a patch too.
    """

    name: str
    table: PatchTable
    objects: Objects
    captures: Captures
    starts: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    photos: int

    def __len__(self) -> int:
        return len(self.table.photo)

    @property
    def vector_bytes(self) -> int:
        """Bytes of all vectors as they are stored, float16."""
        return int(self.table.vectors.nbytes)

    def relevant(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows show a chosen object: (n,) bool; `chosen` (m,) has an entry per object."""
        out = np.zeros(len(self), bool)
        out[self.captures.only(chosen).rows] = True
        return out


def collect(name: str, table: PatchTable, objects: Objects, photos: int) -> Collection:
    """Prepares a table.

    A whole photo (the level `image`) counts as right when it holds half of an object of the class,
    however small it is there: that is the most that such a hit can do.
    """
    cover = 0.0 if name == IMAGE_LEVEL else COVER
    starts, neighbours = overlapping_rows(table)
    captures = captured_pairs(table, objects, cover=cover)
    return Collection(name, table, objects, captures, starts, neighbours, photos)


def subset(collection: Collection, rows: NDArray[np.int64], name: str | None = None) -> Collection:
    """The collection of only these rows, in rising order."""
    table = collection.table
    part = PatchTable(
        table.photo[rows],
        table.boxes[rows],
        table.level[rows],
        table.score[rows],
        table.vectors[rows],
    )
    return collect(name or collection.name, part, collection.objects, collection.photos)


def joined(collection: Collection, other: PatchTable) -> Collection:
    """The collection with the patches of another table, each photo's after its own ones."""
    table = collection.table
    order = np.argsort(np.concatenate((table.photo, other.photo)), kind="stable")
    both = PatchTable(
        np.concatenate((table.photo, other.photo))[order],
        np.concatenate((table.boxes, other.boxes))[order],
        np.concatenate((table.level, other.level))[order],
        np.concatenate((table.score, other.score))[order],
        np.concatenate((table.vectors, other.vectors))[order],
    )
    return collect(collection.name, both, collection.objects, collection.photos)


def overlapping_rows(table: PatchTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`starts (n + 1,)` and `neighbours`, as in `Collection`."""
    counts = np.zeros(len(table.photo) + 1, np.int64)
    found = [np.empty(0, np.int64)]
    borders = np.flatnonzero(np.diff(table.photo)) + 1
    for rows in np.split(np.arange(len(table.photo)), borders):
        boxes = table.boxes[rows].astype(np.int64)
        shares = shared_pixels(boxes, boxes) > 0
        np.fill_diagonal(shares, False)
        one, other = np.nonzero(shares)
        counts[rows + 1] = shares.sum(axis=1)
        if len(one):
            found.append(rows[other])
    return np.cumsum(counts), np.concatenate(found)
