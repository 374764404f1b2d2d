"""The placement in a file: replaced whole, by one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patchsearch.errors import Unavailable
from placement.changed import check_follows, check_unchanged
from placement.document import Placement, load_placement, placement_document

_Mark = tuple[int, int, int]

DEFAULT_POLL_S = 0.05


class FilePlacementStore:
    """A `PlacementStore` in one JSON file that readers see whole, the old one or the new one.

    Writers of this machine exclude each other by a lock (flock) on the file's name with `.lock`
    behind it; where several machines see the file, the network file system has to carry such locks
    over. Thread-safe.
    """

    def __init__(self, path: Path, *, poll_s: float = DEFAULT_POLL_S) -> None:
        """`poll_s`: seconds between looks at the file while `wait_for_change` waits."""
        self._path = path
        self._poll_s = poll_s
        self._mark: _Mark | None = None
        self._closed = threading.Event()

    def __str__(self) -> str:
        return str(self._path)

    def load(self) -> Placement:
        """See `PlacementStore.load`."""
        # Before the reading: what is written meanwhile is a change.
        self._mark = self._stat()
        return load_placement(self._path)

    def replace(self, placement: Placement, expected_epoch: int | None) -> None:
        """See `PlacementStore.replace`. Raises Unavailable PLACEMENT_UNAVAILABLE too when the file
        cannot be written."""
        check_follows(placement, expected_epoch)
        text = json.dumps(placement_document(placement), indent=2) + "\n"
        try:
            with self._locked():
                there = load_placement(self._path) if self._path.exists() else None
                check_unchanged(str(self._path), there, expected_epoch)
                self._write(text.encode())
        except OSError as error:
            raise Unavailable(
                "PLACEMENT_UNAVAILABLE",
                f"{self._path} cannot be written: {error.strerror}; the placement is as it was",
            ) from error

    def wait_for_change(self, timeout_s: float) -> bool:
        """See `PlacementStore.wait_for_change`."""
        until = time.monotonic() + timeout_s
        while not self._closed.is_set():
            if self._stat() != self._mark:
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._closed.wait(min(self._poll_s, left))
        return False

    def close(self) -> None:
        """See `PlacementStore.close`."""
        self._closed.set()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._path.with_name(f"{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _stat(self) -> _Mark | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
