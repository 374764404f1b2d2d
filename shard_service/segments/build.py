"""Turns rows of other segments into the files of a sealed segment."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shard_service.derived_files import write_directory
from shard_service.index.codebook import Codebook, write_codebook
from shard_service.index.faiss_index import build_index, write_index
from shard_service.index.half_rows import map_half_rows, write_half_rows
from shard_service.index.profiles import Profile
from shard_service.index.threads import use_threads
from shard_service.segments.locality import locality_order
from shard_service.segments.row_table import Segment
from shard_service.segments.sealed import INDEX_FILE, VECTORS_FILE

_WRITE_ROWS = 4096
_AXES = 16
_SAMPLE_IMAGES = 8.0
_MIN_SAMPLE_ROWS, _MAX_SAMPLE_ROWS = 16_384, 65_536
_SEED = 7


class LiveRows:
    """The live images of some segments, in the order of their sequences, as one run of rows."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = [segment for segment in segments if segment.selection.count]
        sources, places, sequences, starts, counts = [], [], [], [], []
        for number, segment in enumerate(self._segments):
            table = segment.table
            alive = table.live_places(segment.selection)
            sources.append(np.full(len(alive), number))
            places.append(alive)
            sequences.append(table.first_sequences[alive])
            starts.append(table.image_starts[alive])
            counts.append(np.diff(table.image_starts)[alive])
        order = np.argsort(np.concatenate(sequences), kind="stable")
        self.first_sequences = np.concatenate(sequences)[order]
        self.counts = np.concatenate(counts)[order]
        self._image_sources = np.concatenate(sources)[order]
        self._places = np.concatenate(places)[order]
        self._starts = np.concatenate(starts)[order]
        ends = np.cumsum(self.counts)
        self._source = np.repeat(self._image_sources, self.counts)
        within = np.arange(ends[-1]) - np.repeat(ends - self.counts, self.counts)
        self._position = np.repeat(self._starts, self.counts) + within

    def __len__(self) -> int:
        return len(self._position)

    @property
    def dim(self) -> int:
        """Numbers a vector."""
        return int(self._segments[0].vectors(np.zeros(1, np.int64)).shape[1])

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """The vectors of `rows` of the run, (n, dim)."""
        found = self._gathered(rows, lambda segment, mine: segment.vectors(mine))
        return np.asarray(found, np.float16)

    def column(
        self, rows: NDArray[np.int64], of: Callable[[Segment], NDArray[np.generic]]
    ) -> NDArray[np.generic]:
        """A column of the row tables, for `rows` of the run."""
        return self._gathered(rows, lambda segment, mine: of(segment)[mine])

    def image_ids(self) -> list[bytes]:
        """The id of each image."""
        return [
            self._segments[source].table.image_ids[place]
            for source, place in zip(
                self._image_sources.tolist(), self._places.tolist(), strict=True
            )
        ]

    def training_sample(self) -> NDArray[np.float32]:
        """Patches of about 8 sqrt(N) images (thesis, section 3.5), but 16 384 to 65 536 rows where
        there are as many; (n, dim) float32."""
        images = len(self.counts)
        wanted = _SAMPLE_IMAGES * math.sqrt(images) * len(self) / images
        rows = int(min(len(self), max(_MIN_SAMPLE_ROWS, min(wanted, _MAX_SAMPLE_ROWS))))
        rng = np.random.default_rng(_SEED)
        # Whole images, drawn without regard to their order, until there are enough rows.
        drawn = rng.permutation(images)
        enough = int(np.searchsorted(np.cumsum(self.counts[drawn]), rows)) + 1
        chosen = np.sort(drawn[:enough])
        drawn_images = np.zeros(images, np.bool_)
        drawn_images[chosen] = True
        drawn_rows = np.flatnonzero(np.repeat(drawn_images, self.counts))
        return self.vectors(drawn_rows[:_MAX_SAMPLE_ROWS]).astype(np.float32)

    def _gathered(
        self,
        rows: NDArray[np.int64],
        of: Callable[[Segment, NDArray[np.int64]], NDArray[np.generic]],
    ) -> NDArray[np.generic]:
        source, position = self._source[rows], self._position[rows]
        present = np.unique(source).tolist()
        if len(present) == 1:
            segment = self._segments[present[0]]
            return of(segment, segment.table.rows_at(position))
        out: NDArray[np.generic] | None = None
        for number in present:
            mine, segment = source == number, self._segments[number]
            part = of(segment, segment.table.rows_at(position[mine]))
            if out is None:
                out = np.empty((len(rows), *part.shape[1:]), part.dtype)
            out[mine] = part
        return np.empty(0) if out is None else out


def build_segment(
    target: Path,
    rows: LiveRows,
    profile: Profile,
    codebook: Codebook | None,
    *,
    threads: int,
    stop: threading.Event,
    progress: Callable[[float], None],
    replaces: Sequence[str] = (),
) -> None:
    """Writes `rows`, at least one, as a sealed segment at `target`, durably, whole or not.

    `replaces` names the sealed segments that they come from. Uses `threads` OpenMP threads and
    releases the GIL in the heavy parts. Raises OSError when the disk fails, Unavailable NOT_READY
    when `stop` is set meanwhile.
    """
    dim = rows.dim

    def fill(directory: Path) -> None:
        order = _order(rows, codebook)
        _write_table(directory, rows, order)
        blocks = _blocks(rows, order)
        write_half_rows(directory / VECTORS_FILE, dim, len(rows), blocks)
        if codebook is not None:
            write_codebook(codebook, directory)
        if not profile.factory:
            return
        written = map_half_rows(directory / VECTORS_FILE)
        use_threads(threads)
        index = build_index(
            profile,
            codebook,
            dim,
            lambda start, end: written.block(start, end).astype(np.float32),
            len(rows),
            stop,
            progress,
        )
        write_index(index, directory / INDEX_FILE)

    facts = {
        "profile": profile.name,
        "codebook": codebook.codebook_id if codebook else "",
        "kind": codebook.kind if codebook else "",
        "dim": dim,
        "rows": len(rows),
        "replaces": sorted(replaces),
    }
    write_directory(target, facts, fill)


def _order(rows: LiveRows, codebook: Codebook | None) -> NDArray[np.int64]:
    """The order in which rows are written: by where they lie in space, where a rotation tells."""
    if codebook is None:
        return np.arange(len(rows))
    transform = codebook.transform
    parts = []
    axes: NDArray[np.int64] | None = None
    for start in range(0, len(rows), _WRITE_ROWS):
        block = np.arange(start, min(start + _WRITE_ROWS, len(rows)))
        rotated = transform.apply(rows.vectors(block).astype(np.float32))
        if axes is None:
            axes = np.argsort(-rotated.var(axis=0), kind="stable")[:_AXES]
        parts.append(rotated[:, axes])
    return locality_order(np.concatenate(parts))


def _write_table(directory: Path, rows: LiveRows, order: NDArray[np.int64]) -> None:
    counts = rows.counts
    ids = rows.image_ids()
    np.save(directory / "boxes.npy", rows.column(order, lambda segment: segment.table.boxes))
    np.save(directory / "levels.npy", rows.column(order, lambda segment: segment.table.levels))
    places = np.arange(len(counts), dtype=np.int32)
    np.save(directory / "row_images.npy", np.repeat(places, counts)[order])
    image_rows = np.empty(len(order), np.int32)
    image_rows[order] = np.arange(len(order), dtype=np.int32)
    np.save(directory / "image_rows.npy", image_rows)
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    np.save(directory / "image_starts.npy", starts)
    np.save(directory / "first_sequences.npy", rows.first_sequences)
    np.save(directory / "image_ids.npy", np.frombuffer(b"".join(ids), np.uint8))
    np.save(directory / "image_id_ends.npy", np.cumsum([len(one) for one in ids], dtype=np.int64))


def _blocks(rows: LiveRows, order: NDArray[np.int64]) -> Iterator[NDArray[np.float16]]:
    for start in range(0, len(rows), _WRITE_ROWS):
        yield rows.vectors(order[start : start + _WRITE_ROWS])
