"""What a failed write means: no room on the disk, or something worse."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import lmdb

from patchsearch.errors import ResourceExhausted

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A transaction also rewrites pages of its trees and of the free list.
_PAGES_SLACK = 1 << 20
_RETRY_S = 10.0


def room_needed(payload_bytes: int) -> int:
    """Bytes of free disk that a transaction of this payload may take, generously."""
    return 2 * payload_bytes + _PAGES_SLACK


def is_disk_full(error: lmdb.Error, path: Path, payload_bytes: int) -> bool:
    """Whether `error` came from a disk, a quota or a file size limit that is used up."""
    if isinstance(error, lmdb.DiskError) or error.code in _NO_ROOM:
        return True
    # LMDB calls a short write EIO, whatever the cause.
    return error.code == errno.EIO and free_bytes(path) < room_needed(payload_bytes)


def free_bytes(path: Path) -> int:
    """Bytes that may still be written below `path`."""
    return shutil.disk_usage(path).free


def disk_full(path: Path) -> ResourceExhausted:
    """The error for a write that found no room."""
    return ResourceExhausted(
        "DISK_FULL",
        f"no space left for writes to {path} ({free_bytes(path) >> 20} MiB free): nothing was "
        "written and searches go on; free space and write again",
        retry_after_s=_RETRY_S,
    )
