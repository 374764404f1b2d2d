"""What a segment knows of its rows besides their vectors, and what a search asks of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class RowTable:
    """Columns of n rows that belong to m images; an image's rows lie one after the other.

    `boxes` (n, 4) int32; `levels` (n,) uint16; `row_images` (n,) int32, the image's place below;
    `image_starts` (m + 1,) int64, an image's first row, and n; `first_sequences` (m,) int64,
    ascending, the sequence of that row (the others follow one by one); `image_ids` m ids in UTF-8.
    """

    boxes: NDArray[np.int32]
    levels: NDArray[np.uint16]
    row_images: NDArray[np.int32]
    image_starts: NDArray[np.int64]
    first_sequences: NDArray[np.int64]
    image_ids: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.boxes)


class Segment(Protocol):
    """A run of a partition's rows as of one moment; never changes. Thread-safe."""

    @property
    def table(self) -> RowTable:
        """All rows, dead ones too."""

    @property
    def live_rows(self) -> int:
        """Rows of images that are neither replaced nor deleted."""

    @property
    def oversample(self) -> float:
        """Candidates that `nearest` should be asked for, for each hit wanted."""

    def alive(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` are live."""

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """(n, dim) vectors of `rows`: float16 values, as float16 or wider."""

    def scan(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32 inner products with every row, summed in float32; -inf for dead rows."""

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64] | None:
        """About `count` rows, approximately the nearest; None when there is no index to ask."""
