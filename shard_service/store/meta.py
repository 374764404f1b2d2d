"""What a partition is, as its LMDB environment says in the database `meta`.

Keys: format (u32), partition_id, hash_start, hash_end (u64), fingerprint, encoder, dim (u32),
next_sequence (u64), commits (u64, counts transactions), opening (u64, drawn when the store is
opened, of the last commit; absent before the first), codebook (id; absent before the first),
checksum (u32, CRC32C over all others; absent until the first commit in a store of an earlier
version). Numbers are little-endian, texts UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import lmdb

from patchsearch.errors import FailedPrecondition
from shard_service.store.databases import DATABASE_COUNT, open_databases
from shard_service.store.lock_file import reserve_lock_file
from shard_service.store.records import FORMAT_VERSION

CHECKSUM = b"checksum"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a partition is; never changes once it is created."""

    partition_id: str
    hash_start: int
    hash_end: int
    fingerprint: str
    encoder: str
    dim: int


def create_environment(path: Path, identity: Identity, map_bytes: int) -> None:
    """Makes an empty store at `path`, durably; raises ResourceExhausted DISK_FULL, lmdb.Error."""
    path.mkdir(parents=True)
    reserve_lock_file(path)
    env = lmdb.open(str(path), map_size=map_bytes, max_dbs=DATABASE_COUNT)
    try:
        databases = open_databases(env, create=True)
        with env.begin(write=True, db=databases.meta) as txn:
            txn.put(b"format", FORMAT_VERSION.to_bytes(4, "little"))
            txn.put(b"partition_id", identity.partition_id.encode())
            txn.put(b"hash_start", identity.hash_start.to_bytes(8, "little"))
            txn.put(b"hash_end", identity.hash_end.to_bytes(8, "little"))
            txn.put(b"fingerprint", identity.fingerprint.encode())
            txn.put(b"encoder", identity.encoder.encode())
            txn.put(b"dim", identity.dim.to_bytes(4, "little"))
            txn.put(b"next_sequence", bytes(8))
            txn.put(b"commits", bytes(8))
            seal_meta(txn, databases.meta)
    finally:
        env.close()


def seal_meta(txn: lmdb.Transaction[bytes], meta: Any) -> None:
    """Brings the checksum up to date, to be called last in a transaction that writes `meta`."""
    with txn.cursor(db=meta) as cursor:
        values = dict(cursor)
    txn.put(CHECKSUM, meta_checksum(values), db=meta)


def meta_checksum(values: Mapping[bytes, bytes]) -> bytes:
    """CRC32C, 4 bytes little-endian, of all values but the checksum itself, with their keys."""
    parts: list[bytes] = []
    for key in sorted(values):
        if key != CHECKSUM:
            parts += (struct.pack("<II", len(key), len(values[key])), key, values[key])
    return int(google_crc32c.value(b"".join(parts))).to_bytes(4, "little")


def read_identity(meta: lmdb.Transaction[bytes]) -> Identity:
    """The identity, through a transaction on `meta`.

    Raises FailedPrecondition FORMAT_UNKNOWN when another version of the format was written.
    """
    version = number(meta, b"format")
    if version != FORMAT_VERSION:
        raise FailedPrecondition(
            "FORMAT_UNKNOWN",
            f"the partition has format {version}; this version reads {FORMAT_VERSION}: "
            "start the version that wrote it",
        )
    return Identity(
        partition_id=text(meta, b"partition_id"),
        hash_start=number(meta, b"hash_start"),
        hash_end=number(meta, b"hash_end"),
        fingerprint=text(meta, b"fingerprint"),
        encoder=text(meta, b"encoder"),
        dim=number(meta, b"dim"),
    )


def number(meta: lmdb.Transaction[bytes], key: bytes) -> int:
    """An unsigned number; 0 where absent."""
    return int.from_bytes(meta.get(key) or b"", "little")


def text(meta: lmdb.Transaction[bytes], key: bytes) -> str:
    """A text; empty where absent."""
    return (meta.get(key) or b"").decode("utf-8")
