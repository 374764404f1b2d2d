"""FAISS alone: HNSW over product quantizer codes, with the rescoring written in NumPy."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes
from shard_service.index.profiles import Rotation
from shard_service.index.rotation import trained_rotation

_FILE, _VECTORS = "index.faiss", "vectors.npy"
_LINKS, _CODE_BYTES, _EF_CONSTRUCTION, _ADD_ROWS = 32, 64, 80, 8192
_SAMPLE_ROWS, _SEED = 40_000, 1


class FaissCodedGraph:
    """Parametric OPQ, then `HNSW32_PQ64`; the candidates are scored from mapped float16 rows.

    Its effort is how many candidates are read, and the width of the beam that finds them.
    """

    def __init__(self) -> None:
        self._index: Any = None
        self._rows: NDArray[np.float16]

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Trains on a sample and adds all rows."""
        rows = np.load(vectors, mmap_mode="r", allow_pickle=False)
        dim = rows.shape[1]
        faiss.omp_set_num_threads(threads)
        begin = time.perf_counter()
        count = min(_SAMPLE_ROWS, len(rows))
        chosen = np.random.default_rng(_SEED).choice(len(rows), count, replace=False)
        sample = rows[np.sort(chosen)].astype(np.float32)
        rotation = trained_rotation(sample, Rotation("opq", dim, _CODE_BYTES))
        transform = faiss.LinearTransform(dim, dim, True)
        faiss.copy_array_to_vector(rotation[:, :dim].ravel(), transform.A)
        faiss.copy_array_to_vector(np.ascontiguousarray(rotation[:, dim]), transform.b)
        transform.is_trained = transform.is_orthonormal = True
        graph = faiss.IndexHNSWPQ(dim, _CODE_BYTES, _LINKS)
        graph.hnsw.efConstruction = _EF_CONSTRUCTION
        graph.train(transform.apply(sample))
        index = faiss.IndexPreTransform(transform, graph)
        trained = time.perf_counter()
        for start in range(0, len(rows), _ADD_ROWS):
            index.add(rows[start : start + _ADD_ROWS].astype(np.float32))
        faiss.write_index(index, str(directory / _FILE))
        os.link(vectors, directory / _VECTORS)
        return BuildTimes(trained - begin, time.perf_counter() - trained)

    def open(self, directory: Path, threads: int) -> None:
        """Reads the index and maps the vectors."""
        self._index = faiss.read_index(str(directory / _FILE))
        mapped = np.load(directory / _VECTORS, mmap_mode="r", allow_pickle=False)
        self._rows = np.asarray(mapped)

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """Candidates of the graph, the best of them by their exact scores."""
        count = max(int(effort or 0), k)
        beam = faiss.SearchParametersHNSW()
        beam.efSearch = count
        parameters = faiss.SearchParametersPreTransform()
        parameters.index_params = beam
        _, labels = self._index.search(query[None, :], count, params=parameters)
        found: NDArray[np.int64] = labels[0]
        found = found[found >= 0]
        if rescored:
            scores = self._rows[found].astype(np.float32) @ query
            found = found[np.argsort(-scores)]
        return found[:k]
