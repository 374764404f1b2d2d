"""FAISS alone on the very graph and codes of a profile: what candidates and refinement add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from evaluation.index_bench.engine import BuildTimes
from evaluation.index_bench.engines.ours import SEGMENT, OurSegment, rows_of_table
from shard_service.derived_files import checked_manifest
from shard_service.index.codebook import read_codebook
from shard_service.index.faiss_index import read_index
from shard_service.index.profiles import PROFILES
from shard_service.segments.sealed import INDEX_FILE


class FaissBareGraph:
    """The index of a sealed segment, read by FAISS and asked for k rows; no vector is read.

    Its effort is efSearch; its own setting is that of the profile in a segment of this size.
    """

    def __init__(self, profile: str) -> None:
        self._profile = PROFILES[profile]
        self._index: Any = None
        self._rows: NDArray[np.int32]
        self._parameters: dict[int, Any] = {}

    def build(self, vectors: Path, directory: Path, threads: int) -> BuildTimes:
        """Builds what the profile builds."""
        return OurSegment(self._profile.name).build(vectors, directory, threads)

    def open(self, directory: Path, threads: int) -> None:
        """Reads rotation and graph."""
        segment = directory / SEGMENT
        manifest = checked_manifest(segment)
        codebook = read_codebook(segment, manifest["codebook"], manifest["kind"])
        graph = read_index(segment / INDEX_FILE)
        self._index = faiss.IndexPreTransform(codebook.transform, graph)
        # FAISS's objects do not keep the Python objects alive that they are made of.
        self._kept = (codebook, graph)
        self._beam = self._profile.beam(int(graph.ntotal))
        self._rows = rows_of_table(directory)

    def search(
        self, query: NDArray[np.float32], k: int, effort: float | None, *, rescored: bool = True
    ) -> NDArray[np.int64]:
        """The order of the codes, which is final."""
        beam = max(int(effort or self._beam), k)
        if beam not in self._parameters:
            walk = faiss.SearchParametersHNSW()
            walk.efSearch = beam
            behind = faiss.SearchParametersPreTransform()
            behind.index_params = walk
            self._parameters[beam] = behind
        faiss.omp_set_num_threads(1)
        _, labels = self._index.search(query[None, :], k, params=self._parameters[beam])
        found: NDArray[np.int64] = labels[0]
        return self._rows[found[found >= 0]].astype(np.int64)
