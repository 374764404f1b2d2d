"""Builds, writes, reads and asks the FAISS index of a sealed segment, as its profile says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import Unavailable
from shard_service.index.codebook import Codebook
from shard_service.index.profiles import Profile

_ADD_ROWS = 2048
_BITS = 8
_threads = threading.local()


def use_threads(count: int) -> None:
    """Sets how many OpenMP threads FAISS uses for calls from this thread."""
    if getattr(_threads, "count", None) != count:
        # The setting belongs to the calling thread alone.
        faiss.omp_set_num_threads(count)
        _threads.count = count


def build_index(
    profile: Profile,
    codebook: Codebook | None,
    dim: int,
    blocks: Callable[[int, int], NDArray[np.float32]],
    rows: int,
    stop: threading.Event,
) -> Any:
    """Builds the index of `rows` unit vectors; `blocks(start, end)` gives them as (n, dim) float32.

    It compares by L2 distance, which orders unit vectors as the cosine does: FAISS gives HNSW over
    codes no inner product. Polysemous training, which nothing here uses, is never started because
    the quantizer comes trained. Raises Unavailable NOT_READY when `stop` is set meanwhile.
    """
    index = _empty_index(profile, codebook, dim)
    for start in range(0, rows, _ADD_ROWS):
        if stop.is_set():
            raise Unavailable(
                "NOT_READY", "the shard is closing; the index is built at the next start"
            )
        index.add(blocks(start, min(start + _ADD_ROWS, rows)))
    return index


def write_index(index: Any, path: Path) -> None:
    """Writes the index; raises OSError when it cannot."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(str(error)) from error


def read_index(path: Path) -> Any:
    """Reads an index whose bytes were checked; raises OSError when FAISS cannot."""
    # No part of an index is larger than its file: what claims to be is not even allocated.
    faiss.set_deserialization_vector_byte_limit(path.stat().st_size)
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise OSError(str(error)) from error


def nearest_rows(
    index: Any,
    profile: Profile,
    query: NDArray[np.float32],
    count: int,
    alive_bits: NDArray[np.uint8] | None,
) -> NDArray[np.int64]:
    """At most `count` rows, approximately the nearest first; (n,) int64.

    `alive_bits` (one bit a row, least significant first) limits a graph to the rows whose bit is
    set; other indexes may return any row. Thread-safe while nothing is added. Releases the GIL.
    """
    use_threads(1)
    parameters = None
    if profile.links:
        parameters = faiss.SearchParametersHNSW()
        parameters.efSearch = max(profile.ef_search, count)
        selector = None
        if alive_bits is not None:
            selector = faiss.IDSelectorBitmap(alive_bits)
            parameters.sel = selector
        if profile.code_bytes:
            parameters = _behind_rotation(parameters)
    _, labels = index.search(query[None, :], count, params=parameters)
    rows: NDArray[np.int64] = labels[0]
    return rows[rows >= 0]


def _behind_rotation(inner: Any) -> Any:
    parameters = faiss.SearchParametersPreTransform()
    parameters.index_params = inner
    return parameters


def _empty_index(profile: Profile, codebook: Codebook | None, dim: int) -> Any:
    if codebook is None or not profile.code_bytes:
        plain = faiss.IndexHNSWFlat(dim, profile.links)
        plain.hnsw.efConstruction = profile.ef_construction
        return plain
    if profile.links:
        coded = faiss.IndexHNSWPQ(dim, profile.code_bytes, profile.links)
        coded.hnsw.efConstruction = profile.ef_construction
        storage = faiss.downcast_index(coded.storage)
    else:
        coded = storage = faiss.IndexPQ(dim, profile.code_bytes, _BITS)
    storage.do_polysemous_training = False
    faiss.copy_array_to_vector(codebook.centroids.ravel(), storage.pq.centroids)
    if profile.links:
        # Adding to the graph compares codes with codes.
        storage.pq.compute_sdc_table()
    storage.is_trained = coded.is_trained = True
    rotation = faiss.LinearTransform(dim, dim, False)
    faiss.copy_array_to_vector(codebook.rotation.ravel(), rotation.A)
    rotation.is_trained = True
    rotation.is_orthonormal = True
    index = faiss.IndexPreTransform(rotation, coded)
    # The Python objects must outlive the index, which does not own them.
    index.referenced_objects = (rotation, coded)
    return index
