"""Splits a partition in two while it is written and searched, from what it has stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from patchsearch.errors import FailedPrecondition, Unavailable
from shard_service.partition import Partition
from shard_service.replication.convergence import Taken, converge
from shard_service.replication.digests import hash_of
from shard_service.store.images import DeleteImage, Operation, PutImage
from shard_service.store.meta import Identity


@dataclass(frozen=True, slots=True)
class SplitProgress:
    """Images that are in their half, images of the partition, and whether both halves hold
    everything and will go on doing so."""

    moved_images: int
    total_images: int
    done: bool


def halves(identity: Identity, lower_id: str, upper_id: str) -> tuple[Identity, Identity]:
    """The lower and the upper half of a partition; the lower one has the hash in the middle.

    Raises FailedPrecondition PARTITION_TOO_NARROW for a range of one hash.
    """
    if identity.hash_start == identity.hash_end:
        raise FailedPrecondition(
            "PARTITION_TOO_NARROW",
            f"partition {identity.partition_id} holds the hash {identity.hash_start:016x} alone "
            "and cannot be split",
        )
    middle = identity.hash_start + (identity.hash_end - identity.hash_start) // 2
    return (
        replace(identity, partition_id=lower_id, hash_end=middle),
        replace(identity, partition_id=upper_id, hash_start=middle + 1),
    )


class Split:
    """A split that goes on: what is written to the partition goes to its half as well, and what it
    has is copied there.

    Nothing of it is kept on the disk: after a restart a new one finds by digests what the halves
    lack. `forgotten_before` is as for `converge`. Thread-safe.
    """

    def __init__(
        self, parent: Partition, lower: Partition, upper: Partition, forgotten_before: int
    ) -> None:
        self._parent = parent
        self._lower = lower
        self._upper = upper
        self._forgotten_before = forgotten_before
        self._stepping = threading.Lock()
        self._mirrored = False
        self._missed = False
        self._work: Iterator[Taken] | None = None
        self._found = 0
        self._done = False
        self._ended = False

    def is_of(self, *partitions: Partition | None) -> bool:
        """Whether these are its partition, lower and upper half: none was dropped since."""
        mine = (self._parent, self._lower, self._upper)
        return all(one is other for one, other in zip(partitions, mine, strict=True))

    @property
    def partition_ids(self) -> tuple[str, str, str]:
        """The partition, its lower half, its upper half."""
        parts = (self._parent, self._lower, self._upper)
        parent, lower, upper = (part.identity.partition_id for part in parts)
        return parent, lower, upper

    def step(self, seconds: float) -> SplitProgress:
        """Works for about that long, less where it is done; durable on return.

        Raises what writing to the halves raises; a later step goes on from there.
        """
        until = time.monotonic() + seconds
        with self._stepping:
            if self._ended:
                raise Unavailable("NOT_READY", "a half is being dropped; try again")
            if not self._mirrored:
                self._parent.replica.mirror(self._mirror)
                self._mirrored = True
            if self._missed:
                self._missed, self._done, self._work = False, False, None
            while not self._done and time.monotonic() < until:
                self._work_on(until)
            moved = sum(half.describe().images for half in (self._lower, self._upper))
            total = self._parent.describe().images
            return SplitProgress(min(moved, total), total, self._done)

    def end(self) -> None:
        """Ends the mirroring, on a partition that goes on."""
        with self._stepping:
            self._parent.replica.mirror(None)
            self._ended = True

    def _work_on(self, until: float) -> None:
        work, self._work = self._work, None
        if work is None:
            self._found = 0
            work = self._round()
        # A round that fails is not gone on with: the next one begins anew.
        for taken in work:
            self._found += taken.images + taken.deletions
            if time.monotonic() >= until:
                self._work = work
                return
        # What came after the mirror was set is there; a round from then on that finds nothing has
        # seen the rest. Forgotten deletions may make digests differ for a while.
        self._done = not self._missed and (self._found == 0 or self._equal())

    def _round(self) -> Iterator[Taken]:
        for half in (self._lower, self._upper):
            identity = half.identity
            yield from converge(
                half.replica,
                self._parent.replica,
                identity.hash_start,
                identity.hash_end,
                self._forgotten_before,
            )

    def _equal(self) -> bool:
        with self._parent.fence.no_writes():
            whole = self._parent.replica.totals()
            lower, upper = self._lower.replica.totals(), self._upper.replica.totals()
        return (
            whole.digest == lower.digest ^ upper.digest
            and whole.records == lower.records + upper.records
        )

    def _mirror(self, operations: Sequence[Operation]) -> None:
        middle = self._lower.identity.hash_end
        parts: tuple[list[Operation], list[Operation]] = ([], [])
        for operation in operations:
            if isinstance(operation, PutImage):
                parts[hash_of(operation.image.image_id) > middle].append(operation)
            elif isinstance(operation, DeleteImage):
                parts[hash_of(operation.image_id) > middle].append(operation)
        try:
            for half, part in zip((self._lower, self._upper), parts, strict=True):
                half.replica.take(part)
        except BaseException:
            self._missed = True
            raise
