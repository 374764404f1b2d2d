"""One process for a data directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from patchsearch.errors import FailedPrecondition


class DirectoryLock:
    """Holds `directory`/LOCK (flock) until `release`; the kernel releases it when a process dies.

    Raises FailedPrecondition DATA_DIR_IN_USE, naming the process, while another one holds it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "LOCK"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise FailedPrecondition(
                "DATA_DIR_IN_USE",
                f"{directory} is in use by process {holder}; stop it, or use another directory",
                metadata={"pid": holder},
            ) from error
        # For people alone: a disk without room for it can be searched all the same.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Lets the next process in."""
        os.close(self._descriptor)
