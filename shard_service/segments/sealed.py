"""A sealed segment: files that never change, mapped into memory, with a FAISS index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from shard_service.derived_files import ManifestError, checked_manifest
from shard_service.index.faiss_index import nearest_rows, read_index
from shard_service.index.profiles import PROFILES, Profile
from shard_service.search.scoring import half_inner_products
from shard_service.segments.row_table import RowTable

INDEX_FILE = "index.faiss"


class PackedIds(Sequence[bytes]):
    """Ids, one after the other in `data`, each ending where `ends` says."""

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._data = data
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        start = int(self._ends[place - 1]) if place else 0
        return self._data[start : int(self._ends[place])].tobytes()


@dataclass(frozen=True, eq=False, slots=True)
class SealedView:
    """A sealed segment and what of it is alive as of one moment; a `Segment`.

    `alive_bits`: one bit a row, least significant first; None while every row is alive.
    """

    table: RowTable
    live_rows: int
    profile: Profile
    mapped: NDArray[np.float16]
    index: Any
    alive_bits: NDArray[np.uint8] | None

    @property
    def oversample(self) -> float:
        """The profile's."""
        return self.profile.oversample

    def alive(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` are live."""
        if self.alive_bits is None:
            return np.ones(len(rows), np.bool_)
        bits = self.alive_bits[rows >> 3] >> (rows & 7).astype(np.uint8)
        return np.asarray(bits & 1 == 1)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(n, dim) float16."""
        return self.mapped[rows]

    def scan(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32 inner products, -inf for dead rows."""
        scores = np.empty(len(self.table), np.float32)
        half_inner_products(query, self.mapped, scores)
        if self.alive_bits is not None:
            alive = np.unpackbits(self.alive_bits, count=len(scores), bitorder="little")
            scores[alive == 0] = -np.inf
        return scores

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64] | None:
        """Asks the index; dead rows are left out."""
        if self.index is None:
            return None
        rows = nearest_rows(self.index, self.profile, query, count, self.alive_bits)
        return rows[self.alive(rows)]


class SealedSegment:
    """The files of a segment, open, and which images of it are alive. Its partition guards changes.

    Raises ManifestError while opening when a file is not what was written: nothing of a file
    reaches FAISS before its checksum was compared.
    """

    def __init__(self, directory: Path) -> None:
        manifest = checked_manifest(directory)
        try:
            self._profile = PROFILES[manifest["profile"]]
            self._vectors = _mapped(directory / "vectors.npy")
            self._table = RowTable(
                boxes=_mapped(directory / "boxes.npy"),
                levels=_mapped(directory / "levels.npy"),
                row_images=_mapped(directory / "row_images.npy"),
                image_starts=np.load(directory / "image_starts.npy", allow_pickle=False),
                first_sequences=np.load(directory / "first_sequences.npy", allow_pickle=False),
                image_ids=PackedIds(
                    _mapped(directory / "image_ids.npy"), _mapped(directory / "image_id_ends.npy")
                ),
            )
            index = directory / INDEX_FILE
            self._index = read_index(index) if self._profile.factory else None
        except (OSError, ValueError, KeyError) as error:
            raise ManifestError(f"{directory.name}: {error}") from error
        self.directory = directory
        self._live_rows = len(self._table)
        self._bits: NDArray[np.uint8] | None = None
        self._view: SealedView | None = None

    @property
    def profile(self) -> Profile:
        """How it is searched."""
        return self._profile

    @property
    def first_sequences(self) -> NDArray[np.int64]:
        """First sequences of all its images, dead ones too, ascending."""
        return self._table.first_sequences

    @property
    def live_rows(self) -> int:
        """Rows that are not dead."""
        return self._live_rows

    def keep_only(self, alive: NDArray[np.bool_]) -> None:
        """Marks the images dead whose place in `alive` (m,) is False."""
        for place in np.flatnonzero(~alive):
            self._kill(int(place))

    def discard(self, first_sequence: int) -> bool:
        """Marks an image's rows dead; False when it is not here or dead already."""
        sequences = self._table.first_sequences
        place = int(np.searchsorted(sequences, first_sequence))
        if place == len(sequences) or sequences[place] != first_sequence or self._is_dead(place):
            return False
        self._kill(place)
        return True

    def view(self) -> SealedView:
        """The segment as of now."""
        if self._view is None:
            self._view = SealedView(
                self._table, self._live_rows, self._profile, self._vectors, self._index, self._bits
            )
        return self._view

    def _is_dead(self, place: int) -> bool:
        row = int(self._table.image_starts[place])
        return self._bits is not None and not self._bits[row >> 3] >> (row & 7) & 1

    def _kill(self, place: int) -> None:
        if self._bits is None:
            self._bits = np.full((len(self._table) + 7) // 8, 255, np.uint8)
        elif self._view is not None:
            # A view keeps the bits that it was made with.
            self._bits = self._bits.copy()
        self._view = None
        start, end = self._table.image_starts[place : place + 2]
        rows = np.arange(start, end)
        np.bitwise_and.at(self._bits, rows >> 3, ~(1 << (rows & 7)).astype(np.uint8))
        self._live_rows -= len(rows)


def _mapped(path: Path) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    # A plain array over the same pages: every operation on np.memmap costs more.
    return np.asarray(array)
