"""Forgets deletions that are old enough for every replica to know them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from patchsearch.errors import PatchsearchError, Unavailable
from service_runtime.logs import logger
from shard_service.maintenance.priority import yield_to_searches
from shard_service.partition import Partition
from shard_service.versions import CLOCK_SHIFT

_HOUR_S = 3600.0
_STEPS_PER_KEEP = 8
# A few records a transaction, and long pauses: a commit costs an fsync.
_PAUSE_S = 0.05


class TombstoneAge:
    """How old deletions become.

    Time is cut into steps, at most an hour long, that are the same on all shards: replicas forget
    the same deletions at about the same time, so that their digests stay equal.
    """

    def __init__(self, keep_s: float, now_s: Callable[[], float] = time.time) -> None:
        self._keep_s = keep_s
        self._now_s = now_s
        self.step_s = min(_HOUR_S, keep_s / _STEPS_PER_KEEP)

    def forgotten_before(self) -> int:
        """Deletions of versions below this are to be forgotten."""
        cut = (self._now_s() - self._keep_s) // self.step_s * self.step_s
        return max(int(cut * 1000), 0) << CLOCK_SHIFT

    def until_next_s(self) -> float:
        """Seconds until there may be more of them."""
        return self.step_s - (self._now_s() - self._keep_s) % self.step_s


class Forgetting:
    """A thread that forgets old deletions of all partitions, whenever a step of time is over."""

    def __init__(self, partitions: Callable[[], Sequence[Partition]], age: TombstoneAge) -> None:
        self._partitions = partitions
        self._age = age
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forget", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends, in the middle of a partition too; without a start it is no error."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        yield_to_searches()
        while not self._closed.is_set():
            self._forget()
            self._closed.wait(self._age.until_next_s())

    def _forget(self) -> None:
        log = logger("shard")
        try:
            partitions = self._partitions()
        except PatchsearchError:
            return
        for partition in partitions:
            try:
                if not partition.replica.totals().tombstones:
                    continue
                count = partition.replica.forget(self._age.forgotten_before(), self._pause)
            except PatchsearchError as error:
                # A full or failed disk; the next step tries again.
                if not self._closed.is_set():
                    name = partition.identity.partition_id
                    log.warning("deletions not forgotten", partition=name, error=str(error))
                continue
            if count:
                name = partition.identity.partition_id
                log.info("deletions forgotten", partition=name, deletions=count)

    def _pause(self) -> None:
        if self._closed.wait(_PAUSE_S):
            raise Unavailable("NOT_READY", "the shard is closing")
