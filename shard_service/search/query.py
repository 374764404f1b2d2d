"""What a partition is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchsearch.filters import Filter


@dataclass(frozen=True, eq=False, slots=True)
class PartitionQuery:
    """What to look for in a partition.

    `vector` (dim,) float32, unit; `k` 1..1000; `score_threshold` leaves out lower cosines;
    `exact` reads every row; `oversample` candidates for each hit, `ef` a graph's beam width,
    `nprobe` the cells of an inverted file, None: the profile's; `keep_overlapping` switches dedup
    off; `filter` limits the images.
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
