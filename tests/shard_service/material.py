"""Synthetic photos, and how the partitions of the tests are set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shard_service.options import PartitionOptions
from shard_service.store.images import Image, PatchRows
from shard_service.store.meta import Identity

DIM = 64
FINGERPRINT = "f" * 32
IDENTITY = Identity("p0", 0, (1 << 64) - 1, FINGERPRINT, "test-encoder", DIM)
# Small enough to seal within a test, and only when a test says so.
OPTIONS = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)


def units(rng: np.random.Generator, count: int, dim: int = DIM) -> NDArray[np.float32]:
    rows = rng.standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered(
    rng: np.random.Generator, centres: NDArray[np.float64], count: int, noise: float = 0.35
) -> NDArray[np.float32]:
    chosen = centres[rng.integers(0, len(centres), count)]
    rows = (chosen + noise * rng.standard_normal(chosen.shape)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def photo(
    image_id: str,
    boxes: Sequence[Sequence[int]],
    vectors: NDArray[np.float32],
    *,
    version: int = 1,
    size: tuple[int, int] = (4000, 2000),
    metadata: bytes = b"",
) -> tuple[Image, PatchRows]:
    count = len(boxes)
    image = Image(
        image_id=image_id.encode(),
        version=version,
        uri=f"file:///{image_id}",
        width=size[0],
        height=size[1],
        metadata=metadata,
        digest=b"digest",
        selection="grid",
    )
    patches = PatchRows(
        boxes=np.array(boxes, np.int32).reshape(count, 4),
        levels=np.ones(count, np.uint16),
        scores=np.linspace(0, 1, count, dtype=np.float32),
        vectors=vectors.reshape(count, vectors.shape[-1]),
    )
    return image, patches


def row_of_boxes(count: int, step: int = 100, side: int = 100) -> list[tuple[int, int, int, int]]:
    return [(step * at, 0, side, side) for at in range(count)]
