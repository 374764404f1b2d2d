"""qdrant-edge: a shard in this process, HNSW over int8 codes or over mapped float32 vectors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeVectorParams,
    HnswIndexConfig,
    Memory,
    Point,
    QuantizationSearchParams,
    Query,
    ScalarQuantizationConfig,
    ScalarType,
    SearchParams,
    SearchRequest,
    UpdateOperation,
)

from evaluation.index_bench.engine import BuildTimes

_SHARD, _DIM = "shard", "dim.npy"
_LINKS, _EF_CONSTRUCTION, _ADD_ROWS = 32, 80, 2048
_NO_LIMIT_KB = 1 << 30
_OVERSAMPLING = 2.0


class QdrantShard:
    """`codes` is `int8`, pinned in memory and rescored from mapped vectors, or `none`.

    One indexed segment, no write-ahead log. Its effort is hnsw_ef.
    """

    def __init__(self, codes: str) -> None:
        self._quantized = codes == "int8"
        self._shard: Any = None

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Stores all rows and lets the optimizer index them."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        begin = time.perf_counter()
        np.save(directory / _DIM, rows.shape[1])
        target = directory / _SHARD
        target.mkdir()
        shard = EdgeShard.create(str(target), self._config(rows.shape[1], threads))
        for start in range(0, len(rows), _ADD_ROWS):
            block = rows[start : start + _ADD_ROWS].astype(np.float32).tolist()
            points = [Point(start + at, vector) for at, vector in enumerate(block)]
            shard.update(UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()
        return BuildTimes(0.0, time.perf_counter() - begin)

    def open(self, directory: Path, threads: int) -> None:
        """Loads the shard."""
        config = self._config(int(np.load(directory / _DIM)), threads)
        self._shard = EdgeShard.load(str(directory / _SHARD), config)

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The shard's answer."""
        codes = None
        if self._quantized:
            # Rescoring no more than what is asked for would only change its order.
            oversampling = _OVERSAMPLING if rescored else None
            codes = QuantizationSearchParams(rescore=rescored, oversampling=oversampling)
        request = SearchRequest(
            Query.Nearest(query.tolist()),
            k,
            params=SearchParams(hnsw_ef=max(int(effort or 0), k), quantization=codes),
            with_vector=False,
            with_payload=False,
        )
        return np.array([point.id for point in self._shard.search(request)], np.int64)

    def _config(self, dim: int, threads: int) -> EdgeConfig:
        codes = ScalarQuantizationConfig(ScalarType.Int8, quantile=0.99, memory=Memory.Pinned)
        return EdgeConfig(
            vectors=EdgeVectorParams(dim, Distance.Dot, memory=Memory.Cold),
            hnsw_config=HnswIndexConfig(_LINKS, _EF_CONSTRUCTION, 1, max_indexing_threads=threads),
            quantization_config=codes if self._quantized else None,
            optimizers=EdgeOptimizersConfig(
                default_segment_number=1, indexing_threshold=1, max_segment_size=_NO_LIMIT_KB
            ),
            max_search_threads=threads,
            wal_enabled=False,
        )
