"""The thesis's PQ64 index (section 4.4): 512 numbers, 128 of them by PCA, 64 bytes of codes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import FailedPrecondition

NAME = "thesis-pq64"
_DIMS, _CODE_BYTES, _CENTROIDS = 128, 64, 256
_SAMPLE_ROWS, _SEED = 40_000, 1


@dataclass(frozen=True, eq=False)
class ProductCodes:
    """Codes alone: every one is compared, nothing is rescored. `bytes_per_vector`: of the codes."""

    index: Any
    bytes_per_vector: float
    train_s: float
    build_s: float

    def search(self, query: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """At most `k` rows, best first."""
        _, labels = self.index.search(np.ascontiguousarray(query[None, :]), k)
        rows: NDArray[np.int64] = labels[0]
        return rows[rows >= 0]


def product_codes(vectors: NDArray[np.float16]) -> ProductCodes:
    """Trains on at most 40 000 of the rows and codes them all, on one thread.

    Raises FailedPrecondition TOO_FEW_VECTORS for fewer rows than a codebook has centroids, or than
    64 numbers in a row.
    """
    rows, dim = vectors.shape
    if rows < _CENTROIDS or dim < _CODE_BYTES:
        raise FailedPrecondition(
            "TOO_FEW_VECTORS",
            f"{rows} vectors of {dim} numbers; {_CENTROIDS} vectors of {_CODE_BYTES} are needed to"
            " train product codes",
        )
    dims = min(_DIMS, dim // _CODE_BYTES * _CODE_BYTES)
    faiss.omp_set_num_threads(1)
    begin = time.perf_counter()
    chosen = np.arange(rows)
    if rows > _SAMPLE_ROWS:
        chosen = np.sort(np.random.default_rng(_SEED).choice(rows, _SAMPLE_ROWS, replace=False))
    pca = faiss.PCAMatrix(dim, dims)
    codes = faiss.IndexPQ(dims, _CODE_BYTES, 8, faiss.METRIC_L2)
    codes.do_polysemous_training = False
    codes.pq.cp.min_points_per_centroid = 1
    index = faiss.IndexPreTransform(pca, codes)
    index.train(np.ascontiguousarray(vectors[chosen], np.float32))
    trained = time.perf_counter()
    index.add(np.ascontiguousarray(vectors, np.float32))
    return ProductCodes(index, _CODE_BYTES, trained - begin, time.perf_counter() - trained)
