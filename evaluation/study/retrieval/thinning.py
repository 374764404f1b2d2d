"""What fewer patches cost and save: by number, by size, by being new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.study.model import StudyDataset
from evaluation.study.retrieval.collection import Collection
from evaluation.study.retrieval.novelty import best_known, new_rows, photo_runs
from evaluation.study.retrieval.options import RetrievalOptions

_NEXT_SIZE = 1.2


@dataclass(frozen=True, eq=False)
class Thinned:
    """Some rows of a collection, and what they are: `option` names the study, `value` the setting.

    `label` says it in words.
    """

    option: str
    value: float
    label: str
    rows: NDArray[np.int64]


def first_patches(collection: Collection, counts: tuple[int, ...]) -> Iterator[Thinned]:
    """The first n patches of each photo, in the order of the selection; then all of them."""
    place = np.empty(len(collection), np.int64)
    for rows in photo_runs(collection.table):
        place[rows] = np.arange(len(rows))
    most = int(place.max(initial=-1)) + 1
    for count in [*(n for n in sorted(set(counts)) if n < most), most]:
        rows = np.flatnonzero(place < count)
        label = f"first {count}" if count < most else f"all, at most {most}"
        yield Thinned("patches-per-photo", count, label, rows)


def size_groups(collection: Collection, dataset: StudyDataset) -> Iterator[Thinned]:
    """The patches of each size alone, then all; `value` is the side as a share of the short side.

    A new size begins where the sorted shares jump by a fifth: sides are rounded to pixels, and held
    at a least size in small photos.
    """
    short = np.array([min(photo.width, photo.height) for photo in dataset.photos])
    share = collection.table.boxes[:, 2] / short[collection.table.photo]
    order = np.sort(share)
    borders = np.flatnonzero(order[1:] >= order[:-1] * _NEXT_SIZE) + 1
    groups = [group for group in np.split(order, borders) if len(group)]
    if len(groups) > 1:
        for group in groups[::-1]:
            rows = np.flatnonzero((share >= group[0]) & (share <= group[-1]))
            middle = float(np.median(group))
            label = f"{middle:.2f} of the short side"
            yield Thinned("patch-size", round(middle, 3), label, rows)
    yield Thinned("patch-size", 0.0, "all sizes", np.arange(len(collection)))


def new_patches(collection: Collection, options: RetrievalOptions) -> Iterator[Thinned]:
    """All patches, then those that are new, limit by limit from the mildest on."""
    yield Thinned("near-duplicates", 1.0, "all patches", np.arange(len(collection)))
    for limit in similar_limits(collection, options):
        rows = new_rows(collection.table, limit)
        yield Thinned("near-duplicates", limit, f"cosine below {limit:.4f}", rows)


def similar_limits(collection: Collection, options: RetrievalOptions) -> list[float]:
    """The limits that are set, or those that about the shares in `dropped` of the patches reach.

    Cosines mean something else in each encoder's space, so limits are taken from the data.
    """
    if options.similar_limits:
        return sorted(options.similar_limits, reverse=True)
    known = best_known(collection.table)
    return [float(np.quantile(known, 1 - share)) for share in sorted(options.dropped)]
