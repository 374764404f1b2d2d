"""Follows a placement file: a new epoch is served without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from patchsearch.errors import FailedPrecondition, PatchsearchError
from router.placement import Placement, load_placement
from service_runtime.logs import logger

_Mark = tuple[int, int, int]


class PlacementWatch:
    """The placement in force. Thread-safe.

    The file is written by one writer with an atomic rename. A placement that is invalid, older, or
    whose shards are not ready for it is logged once and not taken; the one in force stays.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file; raises FailedPrecondition PLACEMENT_INVALID."""
        self._path = path
        self._log = logger("placement")
        self._lock = threading.Lock()
        self._mark: _Mark | None = self._stat()
        self._current = load_placement(path)
        self._complaint = ""
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Placement:
        """The placement in force; callers take it once per request and keep to it."""
        return self._current

    def check(self, prepare: Callable[[Placement], None]) -> bool:
        """Looks at the file once; returns whether another placement came into force.

        `prepare` gets the new placement before it is in force and refuses it with a
        PatchsearchError; it is tried again at the next check.
        """
        with self._lock:
            mark = self._stat()
            if mark == self._mark:
                return False
            try:
                placement = load_placement(self._path)
                self._refuse_older(placement)
                if placement != self._current:
                    prepare(placement)
            except PatchsearchError as error:
                if error.message != self._complaint:
                    self._complaint = error.message
                    self._log.error(
                        "placement not taken",
                        epoch_in_force=self._current.epoch,
                        reason=error.reason,
                        message=error.message,
                    )
                return False
            self._mark = mark
            self._complaint = ""
            if placement == self._current:
                return False
            self._current = placement
            self._log.info(
                "placement in force", epoch=placement.epoch, partitions=len(placement.partitions)
            )
            return True

    def follow(self, every_s: float, prepare: Callable[[Placement], None]) -> None:
        """Checks the file again and again, in a thread of its own, until `stop`."""

        def loop() -> None:
            while not self._stopped.wait(every_s):
                self.check(prepare)

        self._thread = threading.Thread(target=loop, name="placement-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends `follow`; waits for a check that is under way."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _refuse_older(self, placement: Placement) -> None:
        if placement.epoch < self._current.epoch:
            raise FailedPrecondition(
                "PLACEMENT_INVALID",
                f"{self._path}: epoch {placement.epoch} is older than {self._current.epoch}, which "
                "is in force; write it with a higher epoch",
            )

    def _stat(self) -> _Mark | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
