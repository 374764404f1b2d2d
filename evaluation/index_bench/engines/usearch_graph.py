"""usearch: HNSW over float16 vectors, read into memory or mapped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from evaluation.index_bench.engine import BuildTimes

_FILE = "index.usearch"
_LINKS, _EF_CONSTRUCTION, _ADD_ROWS = 32, 80, 8192


class Usearch:
    """`opened` is `read` or `mapped`. Its effort is the expansion, one value at a time."""

    def __init__(self, opened: str = "read") -> None:
        self._mapped = opened == "mapped"
        self._index: Any = None
        self._expansion = 0

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Adds all rows."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        begin = time.perf_counter()
        index = Index(
            ndim=rows.shape[1],
            metric="ip",
            dtype="f16",
            connectivity=_LINKS,
            expansion_add=_EF_CONSTRUCTION,
            enable_key_lookups=False,
        )
        for start in range(0, len(rows), _ADD_ROWS):
            block = np.ascontiguousarray(rows[start : start + _ADD_ROWS])
            index.add(np.arange(start, start + len(block)), block, threads=threads)
        index.save(str(directory / _FILE))
        return BuildTimes(0.0, time.perf_counter() - begin)

    def open(self, directory: Path, threads: int) -> None:
        """Reads or maps the index."""
        self._index = Index.restore(
            str(directory / _FILE), view=self._mapped, enable_key_lookups=False
        )

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The graph's answer, which is final."""
        expansion = max(int(effort or 0), k)
        if expansion != self._expansion:
            self._index.expansion_search = expansion
            self._expansion = expansion
        return np.asarray(self._index.search(query, k, threads=1).keys, np.int64)
