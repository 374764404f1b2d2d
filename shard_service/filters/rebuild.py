"""Makes the filter index anew from the image records: after damage, and for stores without one."""

from __future__ import annotations

from collections.abc import Iterator

import lmdb

from patchsearch.errors import DataLoss
from shard_service.filters.changes import FilterChanges
from shard_service.filters.terms import terms_of
from shard_service.store.databases import Databases
from shard_service.store.records import decode_image, stored_rows

_BATCH = 4096


def rebuild(txn: lmdb.Transaction[bytes], databases: Databases) -> None:
    """Empties the database `filters` and fills it from all images, within `txn`.

    Damaged image records are left out: no search finds such an image. The work is done in the
    order of the sequences, so that a key is written few times, and in batches, so that memory is
    bounded; only the sequences and ids of all images are held at once.
    """
    txn.drop(databases.filters, delete=False)
    changes = FilterChanges()
    for count, (first_sequence, metadata) in enumerate(indexed_images(txn, databases), 1):
        changes.add(first_sequence, terms_of(metadata))
        if count % _BATCH == 0:
            changes.write(txn, databases.filters)
            changes = FilterChanges()
    changes.write(txn, databases.filters)


def indexed_images(
    txn: lmdb.Transaction[bytes], databases: Databases
) -> Iterator[tuple[int, bytes]]:
    """(first sequence, metadata) of every image that has patches, by sequence; damaged ones not."""
    keys: list[tuple[int, bytes]] = []
    with txn.cursor(db=databases.images) as cursor:
        for key, record in cursor:
            try:
                first_sequence, patch_count = stored_rows(key, record)
            except DataLoss:
                continue
            if patch_count:
                keys.append((first_sequence, key))
    keys.sort()
    for first_sequence, key in keys:
        image = decode_image(key, txn.get(key, b"", db=databases.images))
        if image is not None:
            yield first_sequence, image.image.metadata
