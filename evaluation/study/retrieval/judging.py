"""How good a ranking is for a class: precision, average precision, objects found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluation.study.retrieval.collection import Collection
from evaluation.study.retrieval.options import HITS
from evaluation.study.retrieval.ranking import without_overlaps

CURVE = (1, 2, 4, 8, 16, 32, 64, 100, 200, 400, 700, 1000)
"""Numbers of hits at which the share of objects found is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one query found. Shares, 0..1.

    `precision`: right ones of the first 16 hits, divided by 16. `average_precision`: over all
    patches, overlapping ones too. `chance`: the share of right patches. `reachable`: the highest
    precision that any order could have. `hits (<= 16,)`: rows, best first. `found (len(CURVE),)`:
    share of the class's counted objects that the first hits show, NaN beyond the depth asked for;
    `findable`: share that any patch shows; both None where they were not asked for, and NaN where
    no object is left to find.
    """

    precision: float
    average_precision: float
    chance: float
    reachable: float
    hits: NDArray[np.int64]
    found: NDArray[np.float64] | None = None
    findable: float | None = None


@dataclass(frozen=True, eq=False)
class Judge:
    """Knows what is right for one class in one collection. `chosen (m,) bool`: its objects."""

    collection: Collection
    chosen: NDArray[np.bool_]

    @cached_property
    def relevant(self) -> NDArray[np.bool_]:
        """Which rows are right: (n,) bool."""
        return self.collection.relevant(self.chosen)

    @cached_property
    def disjoint(self) -> NDArray[np.int64]:
        """For each photo: how many right patches can be hits together, since hits are disjoint."""
        return disjoint_patches(self.collection, self.relevant)

    @cached_property
    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        pairs = self.collection.captures.only(self.chosen & self.collection.objects.counted)
        return pairs.rows, pairs.objects

    def judge(
        self, order: NDArray[np.int64], left_out: NDArray[np.int64], *, depth: int = 0
    ) -> Judged:
        """Judges rows, best first, without those of the photos `left_out`.

        `depth`: within how many hits objects are counted; 0: they are not.
        """
        right = self.relevant[order]
        kept = without_overlaps(order, self.collection, max(depth, HITS))
        hits = kept[:HITS]
        disjoint = int(self.disjoint.sum() - self.disjoint[left_out].sum())
        found, findable = self._objects(kept, left_out, depth) if depth else (None, None)
        return Judged(
            precision=float(self.relevant[hits].sum()) / HITS,
            average_precision=average_precision(right),
            chance=float(right.mean()) if len(right) else 0.0,
            reachable=min(disjoint, HITS) / HITS,
            hits=hits,
            found=found,
            findable=findable,
        )

    def _objects(
        self, kept: NDArray[np.int64], left_out: NDArray[np.int64], depth: int
    ) -> tuple[NDArray[np.float64], float]:
        things = self.collection.objects
        wanted = self.chosen & things.counted & ~np.isin(things.photo, left_out)
        count = int(wanted.sum())
        if not count:
            return np.full(len(CURVE), np.nan), float("nan")
        rows, shown = self._pairs
        rank = np.full(len(self.collection), len(kept), np.int64)
        rank[kept] = np.arange(len(kept))
        first = np.full(len(things.photo), len(kept), np.int64)
        np.minimum.at(first, shown, rank[rows])
        ranks = first[wanted]
        found = [
            (ranks < min(hits, len(kept))).sum() / count if hits <= depth else np.nan
            for hits in CURVE
        ]
        reachable = np.zeros(len(things.photo), bool)
        reachable[shown] = True
        return np.array(found), float(reachable[wanted].sum() / count)


def average_precision(right: NDArray[np.bool_]) -> float:
    """Mean, over the right rows, of the precision at each one's place; 0 without right rows."""
    places = np.flatnonzero(right)
    if not len(places):
        return 0.0
    return float((np.arange(1, len(places) + 1) / (places + 1)).mean())


def disjoint_patches(collection: Collection, relevant: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each photo (by its index): the largest number of right patches of which no two overlap.

    It is exact; in a photo with more than 30 right patches it is a lower bound, found by taking the
    patch with the fewest neighbours first.
    """
    out = np.zeros(collection.photos, np.int64)
    rows = np.flatnonzero(relevant)
    for photo in np.unique(collection.table.photo[rows]).tolist():
        mine = rows[collection.table.photo[rows] == photo].tolist()
        place = {row: i for i, row in enumerate(mine)}
        edges = []
        for row in mine:
            around = collection.neighbours[collection.starts[row] : collection.starts[row + 1]]
            edges.append(_mask(place[other] for other in around.tolist() if other in place))
        everything = (1 << len(mine)) - 1
        out[photo] = _independent(everything, edges, exact=len(mine) <= 30)
    return out


def _mask(bits: Iterable[int]) -> int:
    mask = 0
    for bit in bits:
        mask |= 1 << bit
    return mask


def _independent(left: int, edges: list[int], *, exact: bool) -> int:
    """Size of the largest set of nodes in `left` without an edge between two of them."""
    count = 0
    while left:
        nodes = [i for i in range(len(edges)) if left >> i & 1]
        degrees = [(edges[i] & left).bit_count() for i in nodes]
        least = min(degrees)
        if exact and least > 1:
            # A node of degree 0 or 1 is in some largest set; with more, both ways are tried.
            node = nodes[degrees.index(max(degrees))]
            rest = left & ~(1 << node)
            taken = 1 + _independent(rest & ~edges[node], edges, exact=True)
            return count + max(taken, _independent(rest, edges, exact=True))
        node = nodes[degrees.index(least)]
        count += 1
        left &= ~(edges[node] | 1 << node)
    return count
