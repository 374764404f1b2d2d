"""When the segments of a partition are sealed, merged and compacted: on request, or because due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from patchsearch.errors import FailedPrecondition
from shard_service.checkpoint import Checkpoint
from shard_service.maintenance.builder import Builder
from shard_service.maintenance.building import Building
from shard_service.partition_health import PartitionHealth
from shard_service.segments.segment_set import SegmentSet

_T = TypeVar("_T")


class Upkeep:
    """Runs one partition's builds in the background, one of `slots` at a time. Thread-safe.

    What has grown is sealed from `seal_patches` on; small segments join larger ones after `idle_s`
    seconds without a write. Nothing is built before `start`, and not once the partition has failed.
    """

    def __init__(
        self,
        name: str,
        segments: SegmentSet,
        building: Building,
        health: PartitionHealth,
        slots: threading.Semaphore,
        *,
        seal_patches: int,
        idle_s: float,
    ) -> None:
        self._name = name
        self._segments = segments
        self._building = building
        self._health = health
        self._seal_patches = seal_patches
        self._seal_at = seal_patches
        self._builder = Builder(name, self._maintain, slots, idle_s)

    @property
    def failure(self) -> BaseException | None:
        """Why the last build that was due failed; None after one that did not."""
        return self._builder.failure

    def start(self, *, rows_came_back: bool) -> None:
        """Begins with what is due; at once with rows of segments that failed."""
        if rows_came_back:
            self._seal_at = 1
        self._builder.touch()
        if self._seal_is_due() or self._building.due(idle=False):
            self._builder.request()

    def committed(self, displaced: bool) -> None:
        """Takes note of a commit, and whether it displaced images."""
        self._builder.touch()
        if self._seal_is_due() or (displaced and self._building.due(idle=False)):
            self._builder.request()

    def rows_came_back(self) -> None:
        """Seals soon what a damaged segment has left to grow again."""
        self._seal_at = 1
        self._builder.request()

    def seal(self, checkpoint: Checkpoint) -> int:
        """See `Partition.seal`."""
        self._check_large_enough(self._segments.snapshot.growing_patches, "growing patches")
        return self._builder.run(self._building.seal, checkpoint)

    def compact(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """See `Partition.compact`."""
        self._check_large_enough(self._segments.snapshot.patches, "patches")
        return self._builder.run(self._building.compact, checkpoint)

    def run(self, work: Callable[[threading.Event], _T], checkpoint: Checkpoint) -> _T:
        """Runs `work` while nothing is built; see `Builder.run`."""
        return self._builder.run(work, checkpoint)

    def give_up(self) -> None:
        """Tells what is running to end, and that nothing more begins."""
        self._builder.give_up()

    def close(self) -> None:
        """Gives up what is running and waits for its end."""
        self._builder.close()

    def _check_large_enough(self, patches: int, what: str) -> None:
        if patches and not self._building.can_build(patches):
            raise FailedPrecondition(
                "PARTITION_TOO_SMALL",
                f"partition {self._name} has {patches} {what}; training the codebook needs "
                f"{self._building.train_limit}: they are searched exactly, and nothing is to be "
                "done",
            )

    def _seal_is_due(self) -> bool:
        growing = self._segments.snapshot.growing_patches
        return growing >= self._seal_at and self._building.can_build(growing)

    def _maintain(self, stop: threading.Event, idle: bool) -> bool:
        """Does what is due next; returns whether there was anything."""
        if self._health.failed:
            return False
        if self._seal_is_due():
            self._seal_at = self._seal_patches
            self._building.seal(stop)
            return True
        if not self._building.due(idle=idle):
            return False
        self._building.merge(stop, idle=idle)
        return True
