"""The codebook: an orthogonal rotation and a product quantizer, trained once and then only read.

The rotation is the parametric solution of optimised product quantization (Ge, He, Ke, Sun:
"Optimized Product Quantization", TPAMI 2014, section 3): the eigenvectors of the covariance,
dealt to the subspaces so that the products of their eigenvalues are balanced. It is closed-form,
where iterating takes minutes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from shard_service.derived_files import ManifestError, checked_manifest, write_directory

_BITS = 8
_ITERATIONS = 16
_SEED = 20141
MIN_TRAINING_ROWS = 1 << _BITS
"""Fewer rows than centroids cannot train a quantizer."""


@dataclass(frozen=True, eq=False, slots=True)
class Codebook:
    """`rotation` (d, d) float32, orthogonal, applied as `rows @ rotation.T`; `centroids`
    (m, 256, d / m) float32 of the rotated vectors. `codebook_id` is a digest of both."""

    codebook_id: str
    rotation: NDArray[np.float32]
    centroids: NDArray[np.float32]

    @property
    def code_bytes(self) -> int:
        """Bytes of a vector's code."""
        return int(self.centroids.shape[0])


def train_codebook(sample: NDArray[np.float32], code_bytes: int) -> Codebook:
    """Trains on (n, d) float32 rows, n >= 256, d divisible by `code_bytes`.

    Deterministic for one sample and number of threads. Blocks for seconds; releases the GIL. Uses
    the OpenMP threads of the calling thread.
    """
    dim = sample.shape[1]
    rotation = balanced_rotation(sample, code_bytes)
    quantizer = faiss.ProductQuantizer(dim, code_bytes, _BITS)
    quantizer.cp.niter = _ITERATIONS
    quantizer.cp.seed = _SEED
    # More rows than this for a centroid make training slower, not better; fewer draw a warning
    # on standard output that nobody could act on.
    quantizer.cp.max_points_per_centroid = 256
    quantizer.cp.min_points_per_centroid = 1
    quantizer.train(np.ascontiguousarray(sample @ rotation.T))
    centroids = faiss.vector_to_array(quantizer.centroids).reshape(
        code_bytes, 1 << _BITS, dim // code_bytes
    )
    return Codebook(_digest(rotation, centroids), rotation, centroids)


def balanced_rotation(sample: NDArray[np.float32], subspaces: int) -> NDArray[np.float32]:
    """The rotation (d, d) whose consecutive groups of d / subspaces rows are the subspaces."""
    dim = sample.shape[1]
    centred = sample.astype(np.float64) - sample.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / max(len(sample) - 1, 1))
    # Directions without variance would make every product zero; rounding can make them negative.
    weights = np.log(np.maximum(values, values.max() * 1e-12) + 1e-300)
    # Products of values above and below 1 grow and shrink; shifted, all logarithms are >= 0 and the
    # smallest product is always the right place for the next largest value.
    weights -= weights.min()
    capacity = dim // subspaces
    buckets: list[list[int]] = [[] for _ in range(subspaces)]
    products = np.zeros(subspaces)
    for direction in np.argsort(-weights, kind="stable"):
        bucket = int(np.argmin(products))
        buckets[bucket].append(int(direction))
        products[bucket] += weights[direction]
        if len(buckets[bucket]) == capacity:
            products[bucket] = np.inf
    order = [direction for bucket in buckets for direction in bucket]
    return np.ascontiguousarray(vectors[:, order].T, dtype=np.float32)


def save_codebook(codebook: Codebook, parent: Path) -> None:
    """Writes `codebook` to `parent`/<id>, durably; one that is there already stays."""
    if (parent / codebook.codebook_id).exists():
        return

    def fill(directory: Path) -> None:
        np.save(directory / "rotation.npy", codebook.rotation)
        np.save(directory / "centroids.npy", codebook.centroids)

    facts = {"codebook": codebook.codebook_id, "code_bytes": codebook.code_bytes}
    write_directory(parent / codebook.codebook_id, facts, fill)


def load_codebook(directory: Path) -> Codebook:
    """Reads a codebook; raises ManifestError when it is not what was written."""
    checked_manifest(directory)
    rotation = np.load(directory / "rotation.npy", allow_pickle=False)
    centroids = np.load(directory / "centroids.npy", allow_pickle=False)
    if _digest(rotation, centroids) != directory.name:
        raise ManifestError(f"codebook {directory.name} has another digest")
    return Codebook(directory.name, rotation, centroids)


def _digest(rotation: NDArray[np.float32], centroids: NDArray[np.float32]) -> str:
    shape = f"opq{centroids.shape[0]}x{_BITS}".encode()
    return hashlib.sha256(shape + rotation.tobytes() + centroids.tobytes()).hexdigest()[:32]
