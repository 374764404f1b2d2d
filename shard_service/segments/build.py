"""Turns rows in memory into the files of a sealed segment."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shard_service.derived_files import write_directory
from shard_service.index.codebook import Codebook
from shard_service.index.faiss_index import build_index, use_threads, write_index
from shard_service.index.profiles import Profile
from shard_service.segments.growing import GrowingView
from shard_service.segments.sealed import INDEX_FILE

_WRITE_ROWS = 4096
_SAMPLE_ROWS = 40_000
_SEED = 7


def training_sample(views: Sequence[GrowingView], limit: int = _SAMPLE_ROWS) -> NDArray[np.float32]:
    """At most `limit` live rows, (n, dim) float32, drawn without regard to their order."""
    rng = np.random.default_rng(_SEED)
    total = sum(view.live_rows for view in views)
    parts = []
    for view in views:
        rows = view.live()
        share = min(len(rows), -(-limit * len(rows) // total))
        parts.append(view.vectors(np.sort(rng.choice(rows, share, replace=False))))
    return np.concatenate(parts)


def build_segment(
    target: Path,
    views: Sequence[GrowingView],
    profile: Profile,
    codebook: Codebook | None,
    *,
    threads: int,
    stop: threading.Event,
) -> None:
    """Writes the live rows of `views` as a sealed segment at `target`, durably, whole or not.

    `views` are in the order of their sequences and hold at least one live row together. Uses
    `threads` OpenMP threads and releases the GIL in the heavy parts. Raises OSError when the disk
    fails, Unavailable NOT_READY when `stop` is set meanwhile.
    """
    views = [view for view in views if view.live_rows]
    rows = sum(view.live_rows for view in views)
    dim = views[0].chunks[0].shape[1]

    def fill(directory: Path) -> None:
        _write_table(directory, views)
        _write_vectors(directory / "vectors.npy", views, rows, dim)
        if not profile.factory:
            return
        vectors = np.load(directory / "vectors.npy", mmap_mode="r", allow_pickle=False)
        use_threads(threads)
        index = build_index(
            profile,
            codebook,
            dim,
            lambda start, end: vectors[start:end].astype(np.float32),
            rows,
            stop,
        )
        write_index(index, directory / INDEX_FILE)

    facts = {
        "profile": profile.name,
        "codebook": codebook.codebook_id if codebook and profile.code_bytes else "",
        "dim": dim,
        "rows": rows,
    }
    write_directory(target, facts, fill)


def _write_table(directory: Path, views: Sequence[GrowingView]) -> None:
    boxes, levels, counts, sequences = [], [], [], []
    ids: list[bytes] = []
    for view in views:
        rows = view.live()
        table = view.table
        boxes.append(table.boxes[rows])
        levels.append(table.levels[rows])
        # An image lives or dies whole, so every place that occurs has all its rows.
        places = np.unique(table.row_images[rows])
        counts.append(np.diff(table.image_starts)[places])
        sequences.append(table.first_sequences[places])
        ids.extend(table.image_ids[place] for place in places.tolist())
    count = np.concatenate(counts)
    np.save(directory / "boxes.npy", np.concatenate(boxes))
    np.save(directory / "levels.npy", np.concatenate(levels))
    np.save(directory / "row_images.npy", np.repeat(np.arange(len(count), dtype=np.int32), count))
    np.save(directory / "image_starts.npy", np.concatenate(([0], np.cumsum(count, dtype=np.int64))))
    np.save(directory / "first_sequences.npy", np.concatenate(sequences))
    np.save(directory / "image_ids.npy", np.frombuffer(b"".join(ids), np.uint8))
    np.save(directory / "image_id_ends.npy", np.cumsum([len(one) for one in ids], dtype=np.int64))


def _write_vectors(path: Path, views: Sequence[GrowingView], rows: int, dim: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    # Written, not mapped: a full disk is then an error and not a signal that ends the process.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in _blocks(views):
            file.write(block.astype("<f2").tobytes())


def _blocks(views: Sequence[GrowingView]) -> Iterator[NDArray[np.float32]]:
    for view in views:
        rows = view.live()
        for start in range(0, len(rows), _WRITE_ROWS):
            yield view.vectors(rows[start : start + _WRITE_ROWS])
