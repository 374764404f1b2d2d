"""Builds, writes, reads and asks the FAISS index of a sealed segment, as its profile says."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from patchsearch.errors import Unavailable
from shard_service.index.codebook import Codebook
from shard_service.index.index_files import read_index_file
from shard_service.index.profiles import Profile
from shard_service.index.quantizers import install_quantizer

_ADD_ROWS = 8192
_CELL_SAMPLE = 64
_SEED = 20141

Rows = Callable[[int, int], NDArray[np.float32]]


def build_index(
    profile: Profile,
    codebook: Codebook | None,
    dim: int,
    blocks: Rows,
    rows: int,
    stop: threading.Event,
    progress: Callable[[float], None],
) -> Any:
    """Builds the index of `rows` unit vectors; `blocks(start, end)` gives them as (n, dim) float32.

    It takes rotated vectors and compares by L2 distance, which orders unit vectors as the cosine
    does: FAISS gives HNSW over codes no inner product. `progress` is told the share that is done.
    Raises Unavailable NOT_READY when `stop` is set meanwhile.
    """
    transform = None if codebook is None else codebook.transform

    def rotated(start: int, end: int) -> NDArray[np.float32]:
        block = blocks(start, end)
        return block if transform is None else transform.apply(block)

    dims = dim if transform is None else transform.d_out
    index = _empty_index(profile, codebook, dims, rotated, rows)
    for start in range(0, rows, _ADD_ROWS):
        if stop.is_set():
            raise Unavailable(
                "NOT_READY", "the shard is closing; the index is built at the next start"
            )
        index.add(rotated(start, min(start + _ADD_ROWS, rows)))
        progress(min(start + _ADD_ROWS, rows) / rows)
    return index


def write_index(index: Any, path: Path) -> None:
    """Writes the index; raises OSError when it cannot."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(str(error)) from error


def read_index(path: Path) -> Any:
    """Reads an index whose bytes were checked; raises OSError when FAISS cannot."""
    index = read_index_file(path)
    storage = faiss.downcast_index(index.storage) if hasattr(index, "storage") else index
    if hasattr(storage, "pq"):
        # Distances between codes, 256 KiB a subspace, which only adding asks for.
        faiss.Float32Vector().swap(storage.pq.sdc_table)
    return index


def _empty_index(
    profile: Profile, codebook: Codebook | None, dims: int, rotated: Rows, rows: int
) -> Any:
    if not profile.cell_rows or rows < profile.cells_from_rows:
        index = faiss.index_factory(dims, profile.factory.replace("_Flat", ""), faiss.METRIC_L2)
    else:
        cells = max(1, rows // profile.cell_rows)
        index = faiss.index_factory(dims, f"IVF{cells},{profile.factory}", faiss.METRIC_L2)
        index.by_residual = False
        _train_cells(index, cells, rotated, rows)
        # Without codes there is nothing else to train; with codes, a codebook comes yet.
        index.is_trained = not profile.quantizer
    if profile.has_graph:
        index.hnsw.efConstruction = profile.construction_beam(rows)
    if codebook is not None:
        install_quantizer(index, profile.quantizer, codebook.quantizer)
    return index


def _train_cells(index: Any, cells: int, rotated: Rows, rows: int) -> None:
    # Blocks at regular distances: neighbours in time are in one block, cells need variety.
    wanted = min(rows, cells * _CELL_SAMPLE)
    step = max(1, math.floor(rows / wanted * _ADD_ROWS))
    parts = [rotated(at, min(at + _ADD_ROWS, rows)) for at in range(0, rows, step)]
    training = faiss.Clustering(index.d, cells)
    training.niter, training.seed = 8, _SEED
    training.max_points_per_centroid = 2 * _CELL_SAMPLE
    training.min_points_per_centroid = 1
    training.train(np.ascontiguousarray(np.concatenate(parts)), index.quantizer)
    index.quantizer.is_trained = True
