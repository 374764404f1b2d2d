"""Brings a store of format version 1 to version 2 when it is opened.

Version 1 had image records whose checksum left the key out, and no database `filters`. Everything
is changed in one transaction that ends with the new version, so whoever is killed in between
leaves version 1, and the next start begins again. Nothing else reads version 1.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import google_crc32c
import lmdb

from patchsearch.errors import ResourceExhausted
from service_runtime.logs import logger
from shard_service.filters.rebuild import rebuild
from shard_service.store.databases import Databases, open_databases
from shard_service.store.failures import free_bytes, is_disk_full
from shard_service.store.meta import seal_meta
from shard_service.store.records import seal_image_record

_OLD, _NEW = 1, 2
_BATCH = 4096
_CRC = struct.Struct("<I")
# An image record is followed by its filter terms, of which each may take a page of its own.
_FILTER_SHARE = 16


def migrate(env: lmdb.Environment, path: Path) -> None:
    """Brings the environment at `path` to version 2 if it has version 1; durable on return.

    To be called before anything else is read or written. Raises ResourceExhausted DISK_FULL when
    there is no room for it (nothing has changed then), lmdb.Error for what LMDB cannot do.
    """
    with env.begin(db=env.open_db(b"meta", create=False)) as txn:
        if _number(txn, b"format") != _OLD:
            return
    log = logger("partition").bind(path=str(path))
    room = _FILTER_SHARE * _bytes_of(env, env.open_db(b"images", create=False))
    log.info("store is brought to a new format", old=_OLD, new=_NEW)
    while True:
        try:
            # A database that is not used yet means nothing to version 1.
            databases = open_databases(env, create=True)
            images = _migrate(env, databases, path)
            break
        except lmdb.MapFullError:
            env.set_mapsize(2 * int(env.info()["map_size"]))
        except lmdb.Error as error:
            if not is_disk_full(error, path, room):
                raise
            raise ResourceExhausted(
                "DISK_FULL",
                f"no space left to bring {path} to format {_NEW} ({free_bytes(path) >> 20} MiB "
                "free): nothing was changed; free space and start again",
            ) from error
    log.info("store has the new format", images=images)


def _migrate(env: lmdb.Environment, databases: Databases, path: Path) -> int:
    with env.begin(write=True) as txn:
        images = _reseal(txn, databases.images)
        rebuild(txn, databases)
        with txn.cursor(db=databases.meta) as meta:
            commits = int.from_bytes(meta.get(b"commits") or b"", "little")
            meta.put(b"commits", (commits + 1).to_bytes(8, "little"))
            meta.put(b"format", _NEW.to_bytes(4, "little"))
        seal_meta(txn, databases.meta)
        sys.audit("patchsearch.shard", "before-migration-commit", str(path))
    return images


def _reseal(txn: lmdb.Transaction[bytes], images: Any) -> int:
    """Gives every image record the checksum of version 2; returns how many there are.

    A damaged record stays as it is: it fits neither checksum.
    """
    count = 0
    last = b""
    while batch := _behind(txn, images, last):
        for key, record in batch:
            body = record[:-4]
            if _CRC.unpack(record[-4:])[0] == google_crc32c.value(body):
                txn.put(key, seal_image_record(key, body), db=images)
        count += len(batch)
        last = batch[-1][0]
    return count


def _behind(txn: lmdb.Transaction[bytes], images: Any, last: bytes) -> list[tuple[bytes, bytes]]:
    """The next records behind a key, copied: LMDB's pages move under whoever writes."""
    batch: list[tuple[bytes, bytes]] = []
    with txn.cursor(db=images) as cursor:
        if cursor.set_range(last) if last else cursor.first():
            for key, record in cursor:
                if key != last:
                    batch.append((key, record))
                if len(batch) == _BATCH:
                    break
    return batch


def _bytes_of(env: lmdb.Environment, database: Any) -> int:
    with env.begin() as txn:
        stat = txn.stat(database)
    pages: int = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return pages * int(stat["psize"])


def _number(meta: lmdb.Transaction[bytes], key: bytes) -> int:
    return int.from_bytes(meta.get(key) or b"", "little")
