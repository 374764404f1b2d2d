"""Reads the store in a copied directory, which nobody writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from patchsearch.errors import DataLoss
from shard_service.checkpoint import Checkpoint
from shard_service.store.databases import DATABASE_COUNT
from shard_service.store.meta import Identity, read_identity, text
from shard_service.store.records import decode_image

_STEP = 1024


def count_contents(path: Path, checkpoint: Checkpoint) -> tuple[int, int]:
    """Images in the environment at `path`, tombstones not counted, and their patches.

    Damaged image records are left out. `checkpoint` is called now and then and may raise. Raises
    OSError when LMDB cannot read it.
    """
    images = patches = 0
    with _reading(path) as env:
        with env.begin(db=env.open_db(b"images", create=False)) as txn, txn.cursor() as cursor:
            for done, (key, record) in enumerate(cursor):
                if done % _STEP == 0:
                    checkpoint()
                try:
                    image = decode_image(key, record)
                except DataLoss:
                    continue
                if image is not None:
                    images += 1
                    patches += image.patch_count
    return images, patches


def identity_in(path: Path) -> Identity:
    """What the environment at `path` says it is.

    Raises OSError when LMDB cannot read it, FailedPrecondition FORMAT_UNKNOWN for another format.
    """
    with _reading(path) as env, env.begin(db=env.open_db(b"meta", create=False)) as txn:
        return read_identity(txn)


def fingerprint_in(path: Path) -> str:
    """The fingerprint that the environment at `path` holds vectors of, in whatever format.

    Raises OSError when LMDB cannot read it.
    """
    with _reading(path) as env, env.begin(db=env.open_db(b"meta", create=False)) as txn:
        return text(txn, b"fingerprint")


@contextmanager
def _reading(path: Path) -> Iterator[lmdb.Environment]:
    try:
        env = lmdb.open(str(path), readonly=True, lock=False, max_dbs=DATABASE_COUNT, create=False)
    except lmdb.Error as error:
        raise OSError(f"LMDB cannot open {path}: {error}") from error
    try:
        yield env
    except lmdb.Error as error:
        raise OSError(f"LMDB cannot read {path}: {error}") from error
    finally:
        env.close()
