"""Where a snapshot is put together: a hidden directory that its process holds locked."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

_PREFIX = ".snapshot-"
# Some network file systems have no locks for directories.
_NO_LOCKS = (errno.EBADF, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK, errno.ENOSYS)


class Staging:
    """A new directory in `parent`, removed at the end with all that is still in it.

    A lock (flock) on it tells others that it is in use, and ends with the process. Use it as a
    context manager. Raises OSError.
    """

    def __init__(self, parent: Path) -> None:
        while True:
            self.path = parent / f"{_PREFIX}{uuid.uuid4().hex}"
            self.path.mkdir()
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            _lock(self._descriptor, fcntl.LOCK_EX)
            if self.path.exists():
                return
            # Taken for a leftover before it was locked.
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def remove_leftovers(parent: Path) -> None:
    """Removes the staging directories in `parent` whose process is gone.

    Where the file system has no locks they stay: nobody can tell there.
    """
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
