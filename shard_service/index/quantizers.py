"""Trains the quantizers of profiles, and puts trained ones into FAISS indexes."""

from __future__ import annotations

import re
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 16
_SEED = 20141
_PQ = re.compile(r"PQ(\d+)(x4fs)?")


def train_quantizer(rows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """The numbers of a quantizer trained on (n, dims) rotated rows; none for ""."""
    if not name:
        return np.empty(0, np.float32)
    dims = rows.shape[1]
    if name == "SQ8":
        scalar = faiss.ScalarQuantizer(dims, faiss.ScalarQuantizer.QT_8bit)
        scalar.train(rows)
        return np.asarray(faiss.vector_to_array(scalar.trained), np.float32)
    subspaces, bits = _product(name)
    product = faiss.ProductQuantizer(dims, subspaces, bits)
    product.cp.niter = _ITERATIONS
    product.cp.seed = _SEED
    # More rows than this for a centroid make training slower, not better; fewer draw a warning
    # on standard output that nobody could act on.
    product.cp.max_points_per_centroid = 256
    product.cp.min_points_per_centroid = 1
    product.train(rows)
    return np.asarray(faiss.vector_to_array(product.centroids), np.float32)


def install_quantizer(index: Any, name: str, numbers: NDArray[np.float32]) -> None:
    """Makes an untrained index of `name`d codes, or a graph over one, a trained one."""
    storage = faiss.downcast_index(index.storage) if hasattr(index, "storage") else index
    if name == "SQ8":
        faiss.copy_array_to_vector(numbers, storage.sq.trained)
    elif name:
        faiss.copy_array_to_vector(numbers, storage.pq.centroids)
        if hasattr(storage, "do_polysemous_training"):
            # Permutations that nothing here uses, at five times the training time.
            storage.do_polysemous_training = False
        if storage is not index:
            # Adding to a graph compares codes with codes.
            storage.pq.compute_sdc_table()
    storage.is_trained = index.is_trained = True


def _product(name: str) -> tuple[int, int]:
    match = _PQ.fullmatch(name)
    if match is None:
        raise ValueError(f"no quantizer is called {name!r}")
    return int(match[1]), 4 if match[2] else 8
