"""Our own segments: the candidates of a sealed segment, rescored exactly."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes
from shard_service.index.codebook import SharedCodebooks, train_codebook
from shard_service.index.profiles import PROFILES
from shard_service.search.query import PartitionQuery
from shard_service.search.ranked_candidates import RankedCandidates, warm_up
from shard_service.segments.build import LiveRows, build_segment
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.sealed import SealedSegment, SealedView
from shard_service.store.images import PatchRows

SEGMENT = "segment"
_ROWS_FILE = "rows.npy"
_IMAGE_ROWS = 32


class OurSegment:
    """An index profile: one sealed segment, without the store around it.

    Its effort is how many candidates are read for each row asked for.
    """

    def __init__(self, profile: str) -> None:
        # Compiled code is the library's memory, not the index's, and no part of a first search.
        warm_up()
        self._profile = PROFILES[profile]
        self._view: SealedView
        self._rows: NDArray[np.int32]

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Trains the codebook, where the profile has one, and seals all rows."""
        live = LiveRows([_growing(np.load(vectors, mmap_mode="r", allow_pickle=False)).view()])
        # Training takes the threads of its caller.
        faiss.omp_set_num_threads(threads)
        begin = time.perf_counter()
        codebook = None
        if self._profile.needs_training:
            codebook = train_codebook(live.training_sample(), self._profile)
        trained = time.perf_counter()
        build_segment(
            directory / SEGMENT,
            live,
            self._profile,
            codebook,
            threads=threads,
            stop=threading.Event(),
            progress=lambda share: None,
        )
        built = time.perf_counter()
        # A segment orders its rows by where they lie in space; the table has them as images do.
        image_rows = np.load(directory / SEGMENT / "image_rows.npy", allow_pickle=False)
        rows = np.empty_like(image_rows)
        rows[image_rows] = np.arange(len(rows), dtype=rows.dtype)
        np.save(directory / _ROWS_FILE, rows)
        return BuildTimes(trained - begin, built - trained)

    def open(self, directory: Path, threads: int) -> None:
        """Checks and opens the segment."""
        self._view = SealedSegment(directory / SEGMENT, SharedCodebooks()).view()
        self._rows = rows_of_table(directory)

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """One round of candidates, as a partition reads them, with exact scores."""
        if not rescored and self._view.index is not None:
            return self._ids(self._view.index.raw(query, k, None))
        wanted = PartitionQuery(query, k, oversample=effort, keep_overlapping=True)
        ranked = RankedCandidates(self._view, self._view.selection, wanted, alone=True)
        ranked.draw(k)
        return self._ids(ranked.kept_rows[:k])

    def _ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._rows[rows].astype(np.int64)


def rows_of_table(directory: Path) -> NDArray[np.int32]:
    """The row of the table for each row of the segment in `directory`, (n,), mapped."""
    rows: NDArray[np.int32] = np.load(directory / _ROWS_FILE, mmap_mode="r", allow_pickle=False)
    return rows


def _growing(vectors: NDArray[np.float16]) -> GrowingSegment:
    growing = GrowingSegment(vectors.shape[1])
    for start in range(0, len(vectors), _IMAGE_ROWS):
        rows = vectors[start : start + _IMAGE_ROWS]
        count = len(rows)
        patches = PatchRows(
            boxes=np.zeros((count, 4), np.int32),
            levels=np.ones(count, np.uint16),
            scores=np.zeros(count, np.float32),
            vectors=rows,
        )
        growing.append(b"%d" % start, start, patches)
    return growing
