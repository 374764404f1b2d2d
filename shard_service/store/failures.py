"""What a failed write means: no room on the disk, or something worse."""

from __future__ import annotations

import errno
import math
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from patchsearch.errors import ResourceExhausted, Unavailable
from shard_service.store.images import Outcome

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A transaction also rewrites pages of its trees and of the free list.
_PAGES_SLACK = 1 << 20
_RETRY_S = 10.0


class UndurableCommit(Unavailable):
    """A commit that can be read and may be gone after the next start; nothing can be written.

    `outcomes` are those of its operations.
    """

    def __init__(self, message: str, outcomes: Sequence[Outcome]) -> None:
        super().__init__("STORE_READ_ONLY", message)
        self.outcomes = outcomes


def room_needed(payload_bytes: int) -> int:
    """Bytes of free disk that a transaction of this payload may take, generously."""
    return 2 * payload_bytes + _PAGES_SLACK


def is_disk_full(error: lmdb.Error, path: Path, payload_bytes: int) -> bool:
    """Whether `error` came from a disk, a quota or a file size limit that is used up."""
    if isinstance(error, lmdb.DiskError) or error.code in _NO_ROOM:
        return True
    # LMDB calls a short write EIO, whatever the cause.
    room = min(free_bytes(path), _growth_allowed(path))
    return error.code == errno.EIO and room < room_needed(payload_bytes)


def free_bytes(path: Path) -> int:
    """Bytes that may still be written below `path`."""
    return shutil.disk_usage(path).free


def _growth_allowed(path: Path) -> float:
    """Bytes by which the store's file may grow before it meets the limit of this process."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return limit - sum(file.stat().st_size for file in path.glob("data.mdb"))


@contextmanager
def disk_errors_told(path: Path, what: str) -> Iterator[None]:
    """Makes errors of the disk below `path` ResourceExhausted DISK_FULL, or Unavailable
    STORE_FAILED, which says what `what` cannot be written."""
    try:
        yield
    except (OSError, lmdb.Error) as error:
        if isinstance(error, OSError):
            full = error.errno in _NO_ROOM
        else:
            full = is_disk_full(error, path, 0)
        if full:
            raise disk_full(path) from error
        raise Unavailable(
            "STORE_FAILED",
            f"{what} cannot be written below {path}: {error}; look at the disk, then try again",
        ) from error


def disk_full(path: Path) -> ResourceExhausted:
    """The error for a write that found no room."""
    return ResourceExhausted(
        "DISK_FULL",
        f"no space left for writes to {path} ({free_bytes(path) >> 20} MiB free): nothing was "
        "written and searches go on; free space and write again",
        retry_after_s=_RETRY_S,
    )
