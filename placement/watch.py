"""Follows a placement store: a new epoch is served without a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from patchsearch.errors import FailedPrecondition, PatchsearchError
from placement.document import Placement
from placement.store import PlacementStore
from service_runtime.logs import logger

Prepare = Callable[[Placement], None]
"""Gets a placement before it is in force; refuses it with a PatchsearchError."""

# A placement that was refused may be taken the next moment: its shards had to start.
_AGAIN_S = 0.1
# One that a shard has heard of is about to be there.
_SOON_S = 0.02


def _take_any(placement: Placement) -> None:
    """For those who need no preparation."""


class PlacementWatch:
    """The placement in force. Thread-safe.

    A placement that is invalid, older, or not prepared is logged once and not taken; the one in
    force stays, and it stays while the store does not answer.
    """

    def __init__(self, store: PlacementStore) -> None:
        """Loads the placement, and raises what that raises. `stop` closes the store."""
        self._store = store
        self._log = logger("placement")
        self._lock = threading.Lock()
        self._current = store.load()
        self._complaint = ""
        self._prepare: Prepare = _take_any
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Placement:
        """The placement in force; callers take it once per request and keep to it."""
        return self._current

    def check(self) -> bool:
        """Looks at the store now; returns whether another placement came into force."""
        with self._lock:
            return self._look()

    def reload(self, min_epoch: int, timeout_s: float) -> Placement:
        """The placement in force, of `min_epoch` or later if the store has one in time.

        For callers that were told that theirs is stale: looks at once, then waits up to
        `timeout_s` seconds for the epoch; what is in force then may still be older.
        """
        until = time.monotonic() + timeout_s
        while not self._stopped.is_set():
            with self._lock:
                if self._current.epoch >= min_epoch:
                    break
                self._look()
                if self._current.epoch >= min_epoch:
                    break
            left = until - time.monotonic()
            if left <= 0:
                break
            self._store.wait_for_change(min(left, _AGAIN_S if self._complaint else _SOON_S))
        return self._current

    def follow(self, every_s: float, prepare: Prepare = _take_any) -> None:
        """Takes new placements, in a thread of its own, until `stop`.

        `prepare` sees each one before it is in force. One that it refused is tried again every
        `every_s` seconds.
        """
        self._prepare = prepare

        def loop() -> None:
            while not self._stopped.is_set():
                if self._complaint:
                    self._stopped.wait(every_s)
                elif not self._store.wait_for_change(every_s):
                    continue
                self.check()

        self._thread = threading.Thread(target=loop, name="placement-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends `follow` and closes the store; waits for a look that is under way."""
        self._stopped.set()
        self._store.close()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> bool:
        try:
            placement = self._store.load()
            self._refuse_older(placement)
            if placement == self._current:
                self._complaint = ""
                return False
            self._prepare(placement)
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
        self._complaint = ""
        self._current = placement
        self._log.info(
            "placement in force", epoch=placement.epoch, partitions=len(placement.partitions)
        )
        return True

    def _refuse_older(self, placement: Placement) -> None:
        if placement.epoch < self._current.epoch:
            raise FailedPrecondition(
                "PLACEMENT_INVALID",
                f"{self._store}: epoch {placement.epoch} is older than {self._current.epoch}, "
                "which is in force; write it with a higher epoch",
            )
