"""Applies writes inside one LMDB transaction; versions decide, images go and come whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import lmdb

from patchsearch.errors import DataLoss
from shard_service.store.images import AdoptCodebook, Operation, Outcome, PutImage
from shard_service.store.records import (
    decode_image,
    encode_image,
    encode_tombstone,
    sequence_key,
    stored_version,
)


class Databases(NamedTuple):
    """Handles of the named databases of one environment."""

    meta: Any
    images: Any
    patches: Any


def apply_operations(
    txn: lmdb.Transaction[bytes],
    databases: Databases,
    operations: Sequence[Operation],
    next_sequence: int,
) -> tuple[list[Outcome], int]:
    """Applies `operations` in order; returns one outcome each and the next free sequence.

    An image whose stored version is the same or newer is left as it is, and so is a tombstone. A
    deletion leaves a tombstone even where nothing was stored, so that an older write that comes
    later changes nothing.
    """
    outcomes = []
    for operation in operations:
        if isinstance(operation, AdoptCodebook):
            txn.put(b"codebook", operation.codebook_id.encode(), db=databases.meta)
            outcomes.append(Outcome(applied=True))
            continue
        if isinstance(operation, PutImage):
            key, version = operation.image.image_id, operation.image.version
        else:
            key, version = operation.image_id, operation.version
        record = txn.get(key, db=databases.images)
        if record is not None and stored_version(record) >= version:
            outcomes.append(Outcome(applied=False))
            continue
        displaced = None if record is None else _remove(txn, databases, key, record)
        if isinstance(operation, PutImage):
            _store(txn, databases, operation, next_sequence)
            outcomes.append(Outcome(True, next_sequence, displaced))
            next_sequence += len(operation.records)
        else:
            txn.put(key, encode_tombstone(version), db=databases.images)
            outcomes.append(Outcome(True, 0, displaced))
    return outcomes, next_sequence


def _store(
    txn: lmdb.Transaction[bytes], databases: Databases, put: PutImage, first_sequence: int
) -> None:
    record = encode_image(put.image, first_sequence, len(put.records))
    txn.put(put.image.image_id, record, db=databases.images)
    for offset, patch in enumerate(put.records):
        # Sequences only grow, so appending keeps the pages full.
        txn.put(sequence_key(first_sequence + offset), patch, append=True, db=databases.patches)


def _remove(
    txn: lmdb.Transaction[bytes], databases: Databases, key: bytes, record: bytes
) -> tuple[int, int] | None:
    try:
        image = decode_image(key, record)
    except DataLoss:
        # A damaged record cannot say which patches were its own. Nothing finds them without it,
        # and writing the image again is the way to heal it.
        return None
    if image is None:
        return None
    for sequence in range(image.first_sequence, image.first_sequence + image.patch_count):
        txn.delete(sequence_key(sequence), db=databases.patches)
    return image.first_sequence, image.patch_count
