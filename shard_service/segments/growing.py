"""The segment that still grows: rows in memory, searched exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.index.half_rows import GrowingHalfRows
from shard_service.segments.row_table import RowTable
from shard_service.segments.selection import Selection, selected
from shard_service.store.images import PatchRows

# More than is grown before it is sealed: each chunk costs a search a call, and no memory before it
# is filled.
_CHUNK_ROWS = 16384
_FIRST_CAPACITY = 1024

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, eq=False, slots=True)
class GrowingView:
    """The rows of a growing segment as of one moment; a `Segment` without an index.

    Chunk i holds the rows from `starts[i]`, a multiple of 8, on.
    """

    table: RowTable
    selection: Selection
    chunks: tuple[GrowingHalfRows, ...]
    starts: tuple[int, ...]
    profile_name: str = "exact"
    row_file: None = None

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(n, dim) vectors of `rows`."""
        if len(self.chunks) == 1:
            return self.chunks[0].vectors(rows)
        chunk_of = np.searchsorted(self.starts, rows, "right") - 1
        out = np.empty((len(rows), self.chunks[0].index.d), np.float16)
        for number in np.unique(chunk_of).tolist():
            here = chunk_of == number
            out[here] = self.chunks[number].vectors(rows[here] - self.starts[number])
        return out

    def best(
        self, query: NDArray[np.float32], count: int, selection: Selection
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See `Segment`."""
        rows, scores = [], []
        for chunk, start in zip(self.chunks, self.starts, strict=True):
            # A chunk can hold rows by now that this view does not.
            within = min(len(self.table) - start, chunk.capacity)
            if selection.bits is None:
                selector = faiss.IDSelectorRange(0, within)
            else:
                bits = selection.bits[start >> 3 : (start + within + 7) >> 3]
                selector = faiss.IDSelectorBitmap(bits)
            found, values = chunk.best(query, min(count, within), selector)
            rows.append(found + start)
            scores.append(values)
        if len(rows) == 1:
            return rows[0], scores[0]
        order = np.argsort(-np.concatenate(scores), kind="stable")[:count]
        return np.concatenate(rows)[order], np.concatenate(scores)[order]

    def candidates(self, count: int) -> int:
        """There is no index."""
        return 0

    def nearest(
        self,
        query: NDArray[np.float32],
        wanted: int,
        selection: Selection,
        ef: int | None,
        nprobe: int | None,
    ) -> None:
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
        self._chunks: list[GrowingHalfRows] = []
        self._starts: list[int] = []
        self._room = 0
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
            if start + at == self._room:
                self._add_chunk()
            within = start + at - self._starts[-1]
            fit = min(count - at, self._chunks[-1].capacity - within)
            self._chunks[-1].fill(within, patches.vectors[at : at + fit])
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
            boxes=_frozen(self._boxes[:rows]),
            levels=_frozen(self._levels[:rows]),
            row_images=_frozen(self._row_images[:rows]),
            image_starts=_frozen(self._image_starts[: images + 1]),
            first_sequences=_frozen(self._first_sequences[:images]),
            image_ids=self._image_ids,
        )
        live = selected(~self._dead[:rows]) if self._dead_rows else Selection(rows)
        return GrowingView(table, live, tuple(self._chunks), tuple(self._starts))

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
                vectors=view.vectors(rows),
            )
            copy.append(self._image_ids[place], first_sequence, patches)
        return copy

    def _add_chunk(self) -> None:
        self._starts.append(self._room)
        self._chunks.append(GrowingHalfRows(self._dim, _CHUNK_ROWS))
        self._room += _CHUNK_ROWS

    def _reserve(self, rows: int, images: int) -> None:
        if rows > len(self._boxes):
            self._boxes = _widened(self._boxes, rows)
            self._levels = _widened(self._levels, rows)
            self._row_images = _widened(self._row_images, rows)
            self._dead = _widened(self._dead, rows)
        if images > len(self._image_starts):
            self._image_starts = _widened(self._image_starts, images)
            self._first_sequences = _widened(self._first_sequences, images)


def _frozen(array: NDArray[_T]) -> NDArray[_T]:
    array.flags.writeable = False
    return array


def _widened(array: NDArray[_T], needed: int) -> NDArray[_T]:
    wider = np.zeros((max(2 * len(array), needed), *array.shape[1:]), array.dtype)
    wider[: len(array)] = array
    return wider
