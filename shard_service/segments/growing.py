"""The segment that still grows: rows in memory, searched exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shard_service.search.scoring import inner_products
from shard_service.segments.row_table import RowTable
from shard_service.store.images import PatchRows

_CHUNK_ROWS = 16384
_FIRST_CAPACITY = 1024

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, eq=False, slots=True)
class GrowingView:
    """The rows of a growing segment as of one moment; a `Segment` without an index."""

    table: RowTable
    live_rows: int
    chunks: tuple[NDArray[np.float32], ...]
    dead: NDArray[np.bool_] | None
    oversample: float = 1.0

    def alive(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` are live."""
        return np.ones(len(rows), np.bool_) if self.dead is None else ~self.dead[rows]

    def live(self) -> NDArray[np.int64]:
        """All live rows, ascending."""
        rows = len(self.table)
        return np.arange(rows) if self.dead is None else np.flatnonzero(~self.dead)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, dim) float32, values of float16."""
        chunk_of, within = np.divmod(rows, _CHUNK_ROWS)
        out = np.empty((len(rows), self.chunks[0].shape[1]), np.float32)
        for number in np.unique(chunk_of):
            here = chunk_of == number
            out[here] = self.chunks[number][within[here]]
        return out

    def scan(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32 inner products, -inf for dead rows."""
        rows = len(self.table)
        scores = np.empty(rows, np.float32)
        for number, chunk in enumerate(self.chunks):
            start = number * _CHUNK_ROWS
            end = min(start + _CHUNK_ROWS, rows)
            inner_products(query, chunk[: end - start], scores[start:end])
        if self.dead is not None:
            scores[self.dead] = -np.inf
        return scores

    def nearest(self, query: NDArray[np.float32], count: int) -> None:
        """There is no index."""
        return None


class GrowingSegment:
    """Takes rows, loses images, gives views. Not thread-safe: its partition guards it.

    Views stay as they are: rows are only appended behind what a view can see, arrays that are
    full are replaced and not resized, and what is dead is copied into the view.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._rows = 0
        self._dead_rows = 0
        self._chunks: list[NDArray[np.float32]] = []
        self._boxes = np.empty((_FIRST_CAPACITY, 4), np.int32)
        self._levels = np.empty(_FIRST_CAPACITY, np.uint16)
        self._row_images = np.empty(_FIRST_CAPACITY, np.int32)
        self._dead = np.zeros(_FIRST_CAPACITY, np.bool_)
        self._image_starts = np.zeros(_FIRST_CAPACITY, np.int64)
        self._first_sequences = np.empty(_FIRST_CAPACITY, np.int64)
        self._image_ids: list[bytes] = []
        self._places: dict[int, int] = {}

    @property
    def rows(self) -> int:
        """Rows, dead ones too."""
        return self._rows

    @property
    def live_rows(self) -> int:
        """Rows that are not dead."""
        return self._rows - self._dead_rows

    def append(self, image_id: bytes, first_sequence: int, patches: PatchRows) -> None:
        """Adds an image's rows; `first_sequence` is above all before it. No patches: no effect."""
        count = len(patches)
        if count == 0:
            return
        start, end, place = self._rows, self._rows + count, len(self._image_ids)
        self._reserve(end, place + 2)
        self._boxes[start:end] = patches.boxes
        self._levels[start:end] = patches.levels
        self._row_images[start:end] = place
        self._dead[start:end] = False
        self._image_starts[place + 1] = end
        self._first_sequences[place] = first_sequence
        self._image_ids.append(image_id)
        self._places[first_sequence] = place
        at = 0
        while at < count:
            chunk, within = divmod(start + at, _CHUNK_ROWS)
            if chunk == len(self._chunks):
                self._chunks.append(np.empty((_CHUNK_ROWS, self._dim), np.float32))
            fit = min(count - at, _CHUNK_ROWS - within)
            self._chunks[chunk][within : within + fit] = patches.vectors[at : at + fit]
            at += fit
        self._rows = end

    def discard(self, first_sequence: int) -> bool:
        """Marks an image's rows dead; False when it is not here."""
        place = self._places.pop(first_sequence, None)
        if place is None:
            return False
        start, end = self._image_starts[place], self._image_starts[place + 1]
        self._dead[start:end] = True
        self._dead_rows += int(end - start)
        return True

    def live_sequences(self) -> NDArray[np.int64]:
        """First sequences of the live images, in no order."""
        return np.fromiter(self._places, np.int64, len(self._places))

    def view(self) -> GrowingView:
        """The rows as of now."""
        rows, images = self._rows, len(self._image_ids)
        table = RowTable(
            boxes=self._boxes[:rows],
            levels=self._levels[:rows],
            row_images=self._row_images[:rows],
            image_starts=self._image_starts[: images + 1],
            first_sequences=self._first_sequences[:images],
            image_ids=self._image_ids,
        )
        dead = self._dead[:rows].copy() if self._dead_rows else None
        return GrowingView(table, self.live_rows, tuple(self._chunks), dead)

    def without_dead(self) -> GrowingSegment:
        """A copy that holds the live rows alone."""
        copy = GrowingSegment(self._dim)
        view = self.view()
        for first_sequence, place in sorted(self._places.items()):
            rows = np.arange(self._image_starts[place], self._image_starts[place + 1])
            patches = PatchRows(
                boxes=self._boxes[rows],
                levels=self._levels[rows],
                scores=np.empty(0, np.float32),
                vectors=view.vectors(rows).astype(np.float16),
            )
            copy.append(self._image_ids[place], first_sequence, patches)
        return copy

    def _reserve(self, rows: int, images: int) -> None:
        if rows > len(self._boxes):
            self._boxes = _widened(self._boxes, rows)
            self._levels = _widened(self._levels, rows)
            self._row_images = _widened(self._row_images, rows)
            self._dead = _widened(self._dead, rows)
        if images > len(self._image_starts):
            self._image_starts = _widened(self._image_starts, images)
            self._first_sequences = _widened(self._first_sequences, images)


def _widened(array: NDArray[_T], needed: int) -> NDArray[_T]:
    wider = np.zeros((max(2 * len(array), needed), *array.shape[1:]), array.dtype)
    wider[: len(array)] = array
    return wider
