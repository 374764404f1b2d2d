"""LMDB's lock file, which it maps into memory and writes to: its bytes must be there before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from shard_service.store.failures import disk_full

MAX_READERS = 1024

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BYTES_A_READER = 64
_PAGE_BYTES = 4096


def reserve_lock_file(path: Path) -> None:
    """Takes the room of the lock file of the environment at `path`, for 1024 readers.

    LMDB makes it a file of holes. On a full disk the first write to a hole through the map is a bus
    error, which ends the process: with every partition, not only this one. Raises ResourceExhausted
    DISK_FULL; other errors of the disk are for LMDB to tell.
    """
    try:
        descriptor = os.open(path / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise disk_full(path) from error
        return
    try:
        os.posix_fallocate(descriptor, 0, MAX_READERS * _BYTES_A_READER + _PAGE_BYTES)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise disk_full(path) from error
    finally:
        os.close(descriptor)
