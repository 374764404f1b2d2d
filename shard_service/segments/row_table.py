"""What a segment knows of its rows besides their vectors, and what a search asks of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shard_service.index.half_rows import RowFile
from shard_service.segments.selection import Selection


@dataclass(frozen=True, eq=False, slots=True)
class RowTable:
    """Columns of n rows that belong to m images.

    `boxes` (n, 4) int32; `levels` (n,) uint16; `row_images` (n,) int32, the image's place below.
    `image_starts` (m + 1,) int64 and `image_rows` (n,) int32: the rows of image i are
    `image_rows[image_starts[i] : image_starts[i + 1]]` in the order of their sequences; None: all
    rows lie in that order themselves. `first_sequences` (m,) int64, ascending, the sequence of an
    image's first row (the others follow one by one); `image_ids` m ids in UTF-8.
    """

    boxes: NDArray[np.int32]
    levels: NDArray[np.uint16]
    row_images: NDArray[np.int32]
    image_starts: NDArray[np.int64]
    first_sequences: NDArray[np.int64]
    image_ids: Sequence[bytes]
    image_rows: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def rows_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at some positions in the order of images and sequences."""
        return positions if self.image_rows is None else self.image_rows[positions].astype(np.int64)

    def rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """All rows of the images at `places`, image by image, in the order of their sequences."""
        if len(places) == 0:
            return np.empty(0, np.int64)
        starts = self.image_starts[places]
        counts = self.image_starts[places + 1] - starts
        ends = np.cumsum(counts)
        return self.rows_at(np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts))

    def live_places(self, selection: Selection) -> NDArray[np.int64]:
        """The places of the images that are selected; an image is selected whole or not at all."""
        return np.flatnonzero(selection.has(self.rows_at(self.image_starts[:-1])))


class Segment(Protocol):
    """A run of a partition's rows as of one moment; never changes. Thread-safe."""

    @property
    def table(self) -> RowTable:
        """All rows, dead ones too."""

    @property
    def selection(self) -> Selection:
        """The live rows: those of images that are neither replaced nor deleted."""

    @property
    def profile_name(self) -> str:
        """Profile of its index, or "exact"."""

    @property
    def row_file(self) -> RowFile | None:
        """Where to read vectors of single rows; None where `vectors` alone gives them."""

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(n, dim) vectors of `rows`."""

    def best(
        self, query: NDArray[np.float32], count: int, selection: Selection
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """At most `count` selected rows of the largest inner products, summed in float32, best
        first; fewer only when no more are selected."""

    def candidates(self, count: int) -> int:
        """How many candidates to ask the index for, for `count` hits; 0: there is no index."""

    def nearest(
        self,
        query: NDArray[np.float32],
        wanted: int,
        selection: Selection,
        ef: int | None,
        nprobe: int | None,
    ) -> NDArray[np.int64] | None:
        """About `wanted` selected rows, approximately the nearest; None where `best` is to be
        asked instead."""
