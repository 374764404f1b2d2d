"""What a partition is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter

_DEVIATIONS = 3.1
"""One in a thousand exceeds its mean by more standard deviations."""
_CLUMP = 2.0
"""Patches that come and go together, those of an image, on average."""
_SPARE = 2


def likely(count: int, share: float) -> int:
    """How many of the best `count` of a collection a part that holds `share` of it hardly exceeds.

    Images lie where the hash of their id sends them, so the number is a binomial variable but for
    the patches of an image, which lie together: its mean, three standard deviations and some more.
    """
    deviation = math.sqrt(_CLUMP * count * share * (1 - share))
    return min(count, math.ceil(count * share + _DEVIATIONS * deviation) + _SPARE)


@dataclass(frozen=True, slots=True)
class Share:
    """A partition's part in a search of several: `patches`, 0..1, of all that are searched, and
    `spread`, by how much fewer hits it looks for than all of them together."""

    patches: float
    spread: float

    def candidates(self, wanted: int) -> int:
        """How many of the `wanted` candidates of all partitions together lie in this one."""
        return wanted if self.patches >= 1.0 else likely(wanted, self.patches)


ALL = Share(1.0, 1.0)


@dataclass(frozen=True, eq=False, slots=True)
class PartitionQuery:
    """What to look for in a partition.

    `vector` (dim,) float32, unit; `k` 1..1000; `score_threshold` leaves out lower cosines;
    `exact` reads every row; `oversample` candidates for each hit, `ef` a graph's beam width,
    `nprobe` the cells of an inverted file, None: the profile's; `keep_overlapping` switches dedup
    off; `filter` limits the images. `collection_patches`: those of all partitions that are asked
    the same, 0 where that is not known; a partition looks for its share of the k hits then.
    """

    vector: NDArray[np.float32]
    k: int
    score_threshold: float | None = None
    exact: bool = False
    oversample: float | None = None
    keep_overlapping: bool = False
    ef: int | None = None
    nprobe: int | None = None
    filter: Filter | None = None
    collection_patches: int = 0

    def shared_out(self, patches: int) -> tuple[PartitionQuery, Share]:
        """What a partition of so many patches looks for, and what share of the hits that is."""
        if patches >= self.collection_patches:
            return self, ALL
        share = patches / self.collection_patches
        k = likely(self.k, share)
        return (self, ALL) if k == self.k else (replace(self, k=k), Share(share, self.k / k))
