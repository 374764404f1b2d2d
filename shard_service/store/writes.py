"""Applies writes inside one LMDB transaction; versions decide, images go and come whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lmdb

from patchsearch.errors import DataLoss
from shard_service.filters.changes import FilterChanges
from shard_service.filters.damage import FiltersDamaged
from shard_service.filters.rebuild import rebuild
from shard_service.filters.terms import terms_of
from shard_service.store.databases import Databases
from shard_service.store.images import (
    AdoptCodebook,
    DeleteImage,
    ForgetDeletion,
    Operation,
    Outcome,
    PutImage,
    RebuildFilters,
    RecordState,
)
from shard_service.store.records import (
    decode_image,
    encode_image,
    encode_tombstone,
    sequence_key,
    stored_state,
)

# The record of an image without texts, its key, and what LMDB adds to each.
_OPERATION_BYTES = 256
# Each of an image's filter terms may write a page, and takes some bytes of metadata; images of one
# transaction have most pages in common.
_TERM_SHARE = 64
_MAX_TERM_ROOM = 1024


def apply_operations(
    txn: lmdb.Transaction[bytes],
    databases: Databases,
    operations: Sequence[Operation],
    next_sequence: int,
    on_filter_damage: Callable[[FiltersDamaged], None],
) -> tuple[list[Outcome], int]:
    """Applies `operations` in order; returns one outcome each and the next free sequence.

    An image whose stored version is the same or newer is left as it is, and so is a tombstone; a
    put that mends replaces the same version of an image as well. A deletion leaves a tombstone even
    where nothing was stored, so that an older write that comes later changes nothing. The filter
    index follows within the same transaction; where it turns out to be damaged it is made anew,
    after `on_filter_damage` was told.
    """
    writes = _Writes(txn, databases, next_sequence)
    outcomes = []
    for operation in operations:
        if isinstance(operation, AdoptCodebook):
            txn.put(b"codebook", operation.codebook_id.encode(), db=databases.meta)
            outcomes.append(Outcome(applied=True))
        elif isinstance(operation, RebuildFilters):
            outcomes.append(Outcome(applied=True))
        elif isinstance(operation, ForgetDeletion):
            outcomes.append(writes.forget(operation))
        else:
            outcomes.append(writes.apply(operation))
    if RebuildFilters() in operations:
        rebuild(txn, databases)
        return outcomes, writes.next_sequence
    try:
        writes.filter_changes.write(txn, databases.filters)
    except FiltersDamaged as damage:
        on_filter_damage(damage)
        rebuild(txn, databases)
    return outcomes, writes.next_sequence


class _Writes:
    """The images that one transaction writes and removes."""

    def __init__(
        self, txn: lmdb.Transaction[bytes], databases: Databases, next_sequence: int
    ) -> None:
        self._txn = txn
        self._databases = databases
        self.next_sequence = next_sequence
        self.filter_changes = FilterChanges()

    def apply(self, operation: PutImage | DeleteImage) -> Outcome:
        mends = False
        if isinstance(operation, PutImage):
            key, version = operation.image.image_id, operation.image.version
            mends = operation.mends
        else:
            key, version = operation.image_id, operation.version
        record = self._txn.get(key, db=self._databases.images)
        before = None if record is None else _state(key, record)
        if before is not None and before.version >= version:
            same = before.version == version and not before.deleted
            if not (mends and same):
                return Outcome(applied=False, before=before, after=before)
        displaced = None if record is None else self._remove(key, record)
        mended = record is not None and before is None
        if isinstance(operation, PutImage):
            first = self._store(operation)
            return Outcome(True, first, displaced, before, RecordState(version, False), mended)
        self._txn.put(key, encode_tombstone(key, version), db=self._databases.images)
        return Outcome(True, 0, displaced, before, RecordState(version, True), mended)

    def forget(self, operation: ForgetDeletion) -> Outcome:
        key = operation.image_id
        record = self._txn.get(key, db=self._databases.images)
        before = None if record is None else _state(key, record)
        if before != RecordState(operation.version, True):
            return Outcome(applied=False, before=before, after=before)
        self._txn.delete(key, db=self._databases.images)
        return Outcome(applied=True, before=before)

    def _store(self, put: PutImage) -> int:
        first = self.next_sequence
        record = encode_image(put.image, first, len(put.records))
        self._txn.put(put.image.image_id, record, db=self._databases.images)
        for offset, patch in enumerate(put.records):
            # Sequences only grow, so appending keeps the pages full.
            key = sequence_key(first + offset)
            self._txn.put(key, patch, append=True, db=self._databases.patches)
        if put.records:
            # Without patches there is nothing to find, and no sequence of the image's own.
            self.filter_changes.add(first, terms_of(put.image.metadata))
        self.next_sequence += len(put.records)
        return first

    def _remove(self, key: bytes, record: bytes) -> tuple[int, int] | None:
        try:
            image = decode_image(key, record)
        except DataLoss:
            # A damaged record cannot say which patches were its own. Nothing finds them without
            # it, and writing the image again is the way to heal it. What the filter index knows
            # of the old version stays too, and does no harm: no segment has that version's
            # sequence among its live rows, which all answers of the index are intersected with,
            # a negated one as well, and no later version is ever given the sequence.
            return None
        if image is None:
            return None
        first = image.first_sequence
        for sequence in range(first, first + image.patch_count):
            self._txn.delete(sequence_key(sequence), db=self._databases.patches)
        if image.patch_count:
            self.filter_changes.remove(first, terms_of(image.image.metadata))
        return first, image.patch_count


def _state(key: bytes, record: bytes) -> RecordState | None:
    try:
        return stored_state(key, record)
    except DataLoss:
        # Whatever it says must not stand in the way of the write that heals it.
        return None


def payload_bytes(operation: Operation) -> int:
    """About how many bytes an operation writes: what room on the disk is judged by."""
    if not isinstance(operation, PutImage):
        return _OPERATION_BYTES
    image = operation.image
    texts = len(image.uri) * 4 + len(image.metadata) + len(image.selection)
    terms = min(len(image.metadata), _MAX_TERM_ROOM) * _TERM_SHARE
    patches = sum(len(record) + 24 for record in operation.records)
    return _OPERATION_BYTES + texts + terms + patches
