"""Opens the LMDB environment of a partition, in the format of this version."""

from __future__ import annotations

from pathlib import Path

import lmdb

from patchsearch.errors import DataLoss
from shard_service.store.databases import DATABASE_COUNT, Databases, open_databases
from shard_service.store.failures import disk_full, is_disk_full
from shard_service.store.lock_file import MAX_READERS, reserve_lock_file
from shard_service.store.meta import Identity, read_identity
from shard_service.store.migration import migrate


def open_environment(
    path: Path, map_bytes: int, *, durable: bool, readonly: bool = False
) -> tuple[lmdb.Environment, Databases, Identity]:
    """The environment at `path`, which is brought to this version's format first.

    With `readonly` it is not, and needs no disk that can be written; no other process may write it
    then.

    Raises DataLoss STORE_CORRUPT when LMDB cannot read it, FailedPrecondition FORMAT_UNKNOWN for a
    format that this version does not know, ResourceExhausted DISK_FULL when there is no room to
    open it, or to bring it to this one.
    """
    env = None
    try:
        if not readonly:
            reserve_lock_file(path)
        env = lmdb.open(
            str(path),
            map_size=map_bytes,
            max_dbs=DATABASE_COUNT,
            max_readers=MAX_READERS,
            create=False,
            sync=durable,
            readonly=readonly,
            lock=not readonly,
            # Records are read at random: read-ahead would fill the page cache with the rest.
            readahead=False,
        )
        if not readonly:
            migrate(env, path)
        with env.begin(db=env.open_db(b"meta", create=False)) as txn:
            identity = read_identity(txn)
        return env, open_databases(env), identity
    except BaseException as error:
        if env is not None:
            env.close()
        if not isinstance(error, lmdb.Error):
            raise
        if is_disk_full(error, path, 0):
            raise disk_full(path) from error
        raise DataLoss(
            "STORE_CORRUPT",
            f"LMDB cannot open {path}: {error}; restore the partition from a copy",
        ) from error
