"""Rotations: orthogonal projections that put the variance where a quantizer can use it.

The parametric rotation is that of optimised product quantization (Ge, He, Ke, Sun: "Optimized
Product Quantization", TPAMI 2014, section 3): the eigenvectors of the covariance, dealt to the
subspaces so that the products of their eigenvalues are balanced. It is closed-form, where iterating
takes minutes.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.index.profiles import Rotation


def trained_rotation(sample: NDArray[np.float32], rotation: Rotation) -> NDArray[np.float32]:
    """The rotation (dims, d + 1) of (n, d) rows: orthonormal rows, and what is added to each.

    It centres: coordinates have mean zero over the sample. At most d dimensions, and rows of zeros
    beside them where subspaces of equal size need more.
    """
    dim = sample.shape[1]
    dims = min(rotation.dims, dim)
    mean = sample.mean(axis=0, dtype=np.float64)
    if rotation.kind == "opq-iterative":
        directions = _iterated(sample, dims, rotation.subspaces)
    else:
        directions = _principal(sample, mean, dims, rotation.subspaces)
    offset = -directions @ mean
    return np.ascontiguousarray(np.column_stack((directions, offset)), dtype=np.float32)


def _principal(
    sample: NDArray[np.float32], mean: NDArray[np.float64], dims: int, subspaces: int
) -> NDArray[np.float64]:
    centred = sample - mean.astype(np.float32)
    # float32 products are enough for directions, and a tenth of the time.
    covariance = (centred.T @ centred).astype(np.float64) / max(len(sample) - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:dims], vectors[:, ::-1][:, :dims]
    # Subspaces are of equal size: where the directions do not suffice, nothing fills them up.
    missing = -dims % subspaces
    values, vectors = np.pad(values, (0, missing)), np.pad(vectors, ((0, 0), (0, missing)))
    order = balanced_order(values, subspaces)
    return np.asarray(vectors[:, order].T)


def balanced_order(values: NDArray[np.float64], subspaces: int) -> list[int]:
    """The order of `values` in which consecutive groups have nearly equal products."""
    # Directions without variance would make every product zero; rounding can make them negative.
    weights = np.log(np.maximum(values, values.max() * 1e-12) + 1e-300)
    # Products of values above and below 1 grow and shrink; shifted, all logarithms are >= 0 and the
    # smallest product is always the right place for the next largest value.
    weights -= weights.min()
    capacity = len(values) // subspaces
    buckets: list[list[int]] = [[] for _ in range(subspaces)]
    products = np.zeros(subspaces)
    for direction in np.argsort(-weights, kind="stable"):
        bucket = int(np.argmin(products))
        buckets[bucket].append(int(direction))
        products[bucket] += weights[direction]
        if len(buckets[bucket]) == capacity:
            products[bucket] = np.inf
    return [direction for bucket in buckets for direction in bucket]


def _iterated(sample: NDArray[np.float32], dims: int, subspaces: int) -> NDArray[np.float64]:
    trained = faiss.OPQMatrix(sample.shape[1], subspaces, dims)
    trained.train(np.ascontiguousarray(sample))
    matrix = faiss.vector_to_array(trained.A).reshape(dims, sample.shape[1])
    return np.asarray(matrix, np.float64)
