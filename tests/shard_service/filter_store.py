"""Patch stores for the tests of filters: small vectors, metadata as Python values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from patchsearch.wire.structs import struct_to_proto
from shard_service.store.databases import DATABASE_COUNT
from shard_service.store.images import DeleteImage, Image, PatchRows, PutImage
from shard_service.store.meta import Identity, create_environment
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_patches

IDENTITY = Identity("p0", 0, (1 << 64) - 1, "f" * 32, "test-encoder", 4)
MAP_BYTES = 1 << 20


def create(path: Path, *, next_sequence: int = 0) -> None:
    """An empty store, which gives its first patch the sequence `next_sequence`."""
    create_environment(path, IDENTITY, MAP_BYTES)
    with raw(path, b"meta") as txn:
        txn.put(b"next_sequence", next_sequence.to_bytes(8, "little"))


def opened(path: Path, *, durable: bool = False) -> PatchStore:
    return PatchStore(path, MAP_BYTES, durable=durable)


@contextmanager
def raw(path: Path, database: bytes) -> Iterator[Any]:
    """A write transaction on one database of a closed store."""
    env = lmdb.open(str(path), max_dbs=DATABASE_COUNT, map_size=MAP_BYTES * 16)
    try:
        with env.begin(write=True, db=env.open_db(database, create=False)) as txn:
            yield txn
    finally:
        env.close()


def put(
    image_id: str, metadata: dict[str, Any] | bytes = b"", *, version: int = 1, patches: int = 2
) -> PutImage:
    if not isinstance(metadata, bytes):
        metadata = struct_to_proto(metadata).SerializeToString(deterministic=True)
    image = Image(image_id.encode(), version, "file:///x", 3848, 2168, metadata, b"d", "grid")
    rows = PatchRows(
        boxes=np.array([[at, 0, 1, 1] for at in range(patches)], np.int32).reshape(-1, 4),
        levels=np.ones(patches, np.uint16),
        scores=np.zeros(patches, np.float32),
        vectors=np.full((patches, IDENTITY.dim), 0.5, np.float16),
    )
    return PutImage(image, rows, encode_patches(image.image_id, rows))


def delete(image_id: str, version: int) -> DeleteImage:
    return DeleteImage(image_id.encode(), version)
