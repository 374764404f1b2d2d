"""A sealed segment: files that never change, mapped into memory, with a FAISS index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from shard_service.array_files import load_array, map_array
from shard_service.derived_files import ManifestError, checked_manifest
from shard_service.index.candidate_index import CandidateIndex
from shard_service.index.codebook import SharedCodebooks
from shard_service.index.faiss_index import read_index
from shard_service.index.half_rows import HalfRows, RowFile, map_half_rows
from shard_service.index.profiles import PROFILES, Profile
from shard_service.segments.row_table import RowTable
from shard_service.segments.selection import Selection

INDEX_FILE = "index.faiss"
VECTORS_FILE = "vectors.faiss"

_FEW_DEAD = 0.1
_STEP = 32


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
    """A sealed segment and what of it is alive as of one moment; a `Segment`."""

    table: RowTable
    selection: Selection
    profile: Profile
    half_rows: HalfRows
    index: CandidateIndex | None

    @property
    def profile_name(self) -> str:
        """The profile's."""
        return self.profile.name

    @property
    def row_file(self) -> RowFile | None:
        """See `Segment`."""
        return self.half_rows.file

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(n, dim) vectors of `rows`."""
        return self.half_rows.vectors(rows)

    def best(
        self, query: NDArray[np.float32], count: int, selection: Selection
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See `Segment`."""
        return self.half_rows.best(query, min(count, selection.count), selection.selector())

    def candidates(self, count: int) -> int:
        """See `Segment`."""
        return 0 if self.index is None else self.index.candidates(count)

    def nearest(
        self,
        query: NDArray[np.float32],
        wanted: int,
        selection: Selection,
        ef: int | None,
        nprobe: int | None,
    ) -> NDArray[np.int64] | None:
        """See `Segment`."""
        index = self.index
        if index is None or index.prefers_scan(selection.count, wanted, ef):
            return None
        if selection is self.selection and self._few_are_dead():
            # Cheaper than a selector, as long as the dead ones do not lie just there.
            more = self._with_dead(wanted)
            rows = index.approximate(query, more, len(self.table), None, ef, nprobe)
            if selection.bits is None:
                return rows
            rows = rows[selection.has(rows)]
            if len(rows) >= wanted:
                return rows
        rows = index.approximate(query, wanted, selection.count, selection.selector(), ef, nprobe)
        good = selection.has(rows)
        return rows if good.all() else rows[good]

    def _few_are_dead(self) -> bool:
        return self.selection.count >= (1 - _FEW_DEAD) * len(self.table)

    def _with_dead(self, wanted: int) -> int:
        """How many rows to ask for so that `wanted` live ones are probably among them."""
        dead = len(self.table) - self.selection.count
        if dead == 0:
            return wanted
        # In steps, as FAISS's parameters are made once for each number.
        return (wanted + 2 * wanted * dead // len(self.table) + 2 * _STEP - 1) // _STEP * _STEP


class SealedSegment:
    """The files of a segment, open, and which images of it are alive. Its partition guards changes.

    Raises ManifestError while opening when a file is not what was written: nothing of a file
    reaches FAISS before its checksum was compared.
    """

    def __init__(self, directory: Path, codebooks: SharedCodebooks) -> None:
        manifest = checked_manifest(directory)
        try:
            self._profile = PROFILES[manifest["profile"]]
            self._half_rows = map_half_rows(directory / VECTORS_FILE)
            self._table = RowTable(
                boxes=map_array(directory / "boxes.npy"),
                levels=map_array(directory / "levels.npy"),
                row_images=map_array(directory / "row_images.npy"),
                # In memory, a few bytes an image: they say what must not get lost should the
                # files be damaged while they are mapped.
                image_starts=_in_memory(directory / "image_starts.npy"),
                image_rows=map_array(directory / "image_rows.npy"),
                first_sequences=_in_memory(directory / "first_sequences.npy"),
                image_ids=PackedIds(
                    map_array(directory / "image_ids.npy"),
                    map_array(directory / "image_id_ends.npy"),
                ),
            )
            self._index = self._opened_index(directory, manifest, codebooks)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"{directory.name}: {error}") from error
        self.directory = directory
        self.replaces: frozenset[str] = frozenset(manifest.get("replaces", ()))
        self._live_rows = len(self._table)
        self._dead: NDArray[np.bool_] | None = None
        # One bit a row, set while it is live; None while all are.
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
    def rows(self) -> int:
        """Rows, dead ones too."""
        return len(self._table)

    @property
    def live_rows(self) -> int:
        """Rows that are not dead."""
        return self._live_rows

    def live_sequences(self) -> NDArray[np.int64]:
        """First sequences of the live images, ascending."""
        sequences = self._table.first_sequences
        return np.array(sequences if self._dead is None else sequences[~self._dead])

    def keep_only(self, alive: NDArray[np.bool_]) -> None:
        """Marks the images dead whose place in `alive` (m,) is False."""
        if not alive.all():
            self._kill(np.flatnonzero(~alive))

    def discard(self, first_sequence: int) -> bool:
        """Marks an image's rows dead; False when it is not here or dead already."""
        sequences = self._table.first_sequences
        place = int(np.searchsorted(sequences, first_sequence))
        if place == len(sequences) or sequences[place] != first_sequence:
            return False
        if self._dead is not None and self._dead[place]:
            return False
        self._kill(np.array([place]))
        return True

    def view(self) -> SealedView:
        """The segment as of now."""
        if self._view is None:
            live = Selection(self._live_rows, self._bits)
            self._view = SealedView(self._table, live, self._profile, self._half_rows, self._index)
        return self._view

    def _kill(self, places: NDArray[np.int64]) -> None:
        if self._dead is None:
            self._dead = np.zeros(len(self._table.first_sequences), np.bool_)
        fresh = places[~self._dead[places]]
        self._dead[fresh] = True
        rows = self._table.rows_of(fresh)
        self._live_rows -= len(rows)
        # Out of range only in a mapped file that is damaged, which must not stop writes.
        rows = rows[(rows >= 0) & (rows < len(self._table))]
        # Views keep the bits that they were made with; a commit touches few of many rows.
        bits = self._bits
        bits = np.full((len(self._table) + 7) // 8, 255, np.uint8) if bits is None else bits.copy()
        np.bitwise_and.at(bits, rows >> 3, ~(1 << (rows & 7)).astype(np.uint8))
        self._bits, self._view = bits, None

    def _opened_index(
        self, directory: Path, manifest: dict[str, Any], codebooks: SharedCodebooks
    ) -> CandidateIndex | None:
        if not self._profile.factory:
            return None
        transform = None
        if manifest["codebook"]:
            codebook = codebooks.read(directory, manifest["codebook"], manifest["kind"])
            transform = codebook.transform
        inner = read_index(directory / INDEX_FILE)
        return CandidateIndex(self._profile, transform, inner)


def _in_memory(path: Path) -> NDArray[Any]:
    array = load_array(path)
    array.flags.writeable = False
    return array
