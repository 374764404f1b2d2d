"""Puts a closed store into a state that the next start has to bring in order, losing nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import google_crc32c
import lmdb

from shard_service.integrity.change_log import CHANGES
from shard_service.integrity.commit_witness import WITNESS

_PAGE = 4096
_TRANSACTION = 16 + 24 + 2 * 48 + 8
_NAMES = (b"meta", b"images", b"patches")


def spoil_older_meta_page(environment: Path) -> None:
    """Overwrites the meta page that is not needed: the store is damaged, and whole."""
    with (environment / "data.mdb").open("r+b") as file:
        head = file.read(2 * _PAGE)
        transactions = [
            int.from_bytes(head[at + _TRANSACTION : at + _TRANSACTION + 8], "little")
            for at in (0, _PAGE)
        ]
        file.seek(_PAGE * transactions.index(min(transactions)) + 16)
        file.write(b"\xee" * 64)


def bring_back_first_format(environment: Path) -> None:
    """Makes it a store as format version 1 was: image records summed without their keys, no filter
    index, and no notes beside it."""
    env = lmdb.open(str(environment), max_dbs=4, map_size=1 << 28)
    try:
        meta, images, _ = (env.open_db(name, create=False) for name in _NAMES)
        with env.begin(write=True) as txn:
            with txn.cursor(db=images) as cursor:
                records = list(cursor)
            for key, record in records:
                body = record[:-4]
                txn.put(key, body + struct.pack("<I", google_crc32c.value(body)), db=images)
            txn.drop(env.open_db(b"filters", txn=txn, create=False), delete=True)
            txn.delete(b"checksum", db=meta)
            txn.put(b"format", (1).to_bytes(4, "little"), db=meta)
        # Again, so that the last two transactions tell of the same format.
        with env.begin(write=True) as txn:
            txn.put(b"format", (1).to_bytes(4, "little"), db=meta)
    finally:
        env.close()
    for name in (WITNESS, CHANGES):
        (environment / name).unlink(missing_ok=True)
