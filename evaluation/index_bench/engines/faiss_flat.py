"""FAISS alone: HNSW over float32 vectors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes

_FILE = "index.faiss"
_LINKS, _EF_CONSTRUCTION, _ADD_ROWS = 32, 80, 8192


class FaissFlatGraph:
    """`HNSW32,Flat`, read into memory. Its effort is efSearch."""

    def __init__(self) -> None:
        self._index: Any = None

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Adds all rows."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        faiss.omp_set_num_threads(threads)
        begin = time.perf_counter()
        index = faiss.IndexHNSWFlat(rows.shape[1], _LINKS)
        index.hnsw.efConstruction = _EF_CONSTRUCTION
        for start in range(0, len(rows), _ADD_ROWS):
            index.add(rows[start : start + _ADD_ROWS].astype(np.float32))
        faiss.write_index(index, str(directory / _FILE))
        return BuildTimes(0.0, time.perf_counter() - begin)

    def open(self, directory: Path, threads: int) -> None:
        """Reads the index."""
        self._index = faiss.read_index(str(directory / _FILE))

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The graph's answer, which is final."""
        parameters = faiss.SearchParametersHNSW()
        parameters.efSearch = max(int(effort or 0), k)
        _, labels = self._index.search(query[None, :], k, params=parameters)
        rows: NDArray[np.int64] = labels[0]
        return rows[rows >= 0]
