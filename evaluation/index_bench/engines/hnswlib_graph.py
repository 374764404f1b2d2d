"""hnswlib: HNSW over float32 vectors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes

_FILE, _DIM = "index.hnswlib", "dim.npy"
_LINKS, _EF_CONSTRUCTION, _ADD_ROWS = 32, 80, 8192


class Hnswlib:
    """Read into memory. Its effort is ef; one value of it is in use at a time."""

    def __init__(self) -> None:
        self._index: Any = None
        self._ef = 0

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Adds all rows."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        begin = time.perf_counter()
        index = hnswlib.Index(space="ip", dim=rows.shape[1])
        index.init_index(len(rows), ef_construction=_EF_CONSTRUCTION, M=_LINKS)
        for start in range(0, len(rows), _ADD_ROWS):
            block = rows[start : start + _ADD_ROWS].astype(np.float32)
            index.add_items(block, np.arange(start, start + len(block)), num_threads=threads)
        index.save_index(str(directory / _FILE))
        np.save(directory / _DIM, rows.shape[1])
        return BuildTimes(0.0, time.perf_counter() - begin)

    def open(self, directory: Path, threads: int) -> None:
        """Reads the index."""
        self._index = hnswlib.Index(space="ip", dim=int(np.load(directory / _DIM)))
        self._index.load_index(str(directory / _FILE))

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The graph's answer, which is final."""
        ef = max(int(effort or 0), k)
        if ef != self._ef:
            self._index.set_ef(ef)
            self._ef = ef
        labels, _ = self._index.knn_query(query, k=k, num_threads=1)
        return np.asarray(labels[0], np.int64)
