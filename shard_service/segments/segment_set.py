"""Which segments a partition has; searches see one immutable snapshot of them after another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shard_service.segments.growing import GrowingSegment
from shard_service.segments.row_table import Segment
from shard_service.segments.sealed import SealedSegment
from shard_service.store.images import DeleteImage, Operation, Outcome, PutImage

_FEW_DEAD = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """A partition as of one commit, the `commits`th. `number` grows with every change.

    `deleted_patches` are rows of sealed segments that are dead.
    """

    number: int
    commits: int
    segments: tuple[Segment, ...]
    images: int
    patches: int
    growing_patches: int
    deleted_patches: int
    sealed_segments: int


class SegmentSet:
    """Sealed segments, growing segments that are being sealed, and the one that takes new rows.

    Every live row is in exactly one of them. Changes are made under a lock and become visible by
    one assignment, so a search sees an image replaced wholly or not yet, and never waits.
    """

    def __init__(
        self,
        dim: int,
        sealed: Sequence[SealedSegment],
        growing: GrowingSegment,
        images: int,
        commits: int,
    ) -> None:
        self._dim = dim
        self._changing = threading.Condition()
        self._sealed = list(sealed)
        # Frozen ones, which only lose rows, and at the end the one that grows.
        self._growing = [growing]
        self._images = images
        self._snapshot = self._taken(0, commits)

    @property
    def snapshot(self) -> Snapshot:
        """The segments as of now."""
        return self._snapshot

    @property
    def sealed(self) -> list[SealedSegment]:
        """The sealed segments as of now."""
        with self._changing:
            return list(self._sealed)

    def apply(
        self, operations: Sequence[Operation], outcomes: Sequence[Outcome], commits: int
    ) -> None:
        """Makes operations visible, all at once, that the `commits`th transaction committed."""
        with self._changing:
            for operation, outcome in zip(operations, outcomes, strict=True):
                if not outcome.applied:
                    continue
                if isinstance(operation, PutImage):
                    self._growing[-1].append(
                        operation.image.image_id, outcome.first_sequence, operation.patches
                    )
                    self._images += outcome.displaced is None
                elif isinstance(operation, DeleteImage):
                    self._images -= outcome.displaced is not None
                if outcome.displaced is not None and outcome.displaced[1]:
                    self._discard(outcome.displaced[0])
            active = self._growing[-1]
            if active.rows - active.live_rows > max(_FEW_DEAD, active.live_rows):
                self._growing[-1] = active.without_dead()
            self._publish(commits)

    def freeze(self) -> list[GrowingSegment]:
        """Takes what has grown so far out of the reach of new rows, to be sealed.

        It is searched on, and loses the rows that are replaced or deleted meanwhile.
        """
        with self._changing:
            frozen = list(self._growing)
            if self._growing[-1].rows or len(self._growing) == 1:
                self._growing.append(GrowingSegment(self._dim))
            else:
                frozen.pop()
            self._publish()
            return frozen

    def views(self, sources: Sequence[GrowingSegment | SealedSegment]) -> list[Segment]:
        """`sources` as of now."""
        with self._changing:
            return [source.view() for source in sources]

    def replace(
        self,
        sources: Sequence[GrowingSegment | SealedSegment],
        sealed: SealedSegment | None,
        growing: GrowingSegment | None = None,
    ) -> None:
        """Puts `sealed`, or `growing`, in the place of the segments that it was made from."""
        with self._changing:
            gone = set(map(id, sources))
            alive = np.concatenate(
                [np.empty(0, np.int64), *(source.live_sequences() for source in sources)]
            )
            self._growing = [segment for segment in self._growing if id(segment) not in gone]
            self._sealed = [segment for segment in self._sealed if id(segment) not in gone]
            # What was replaced or deleted while the new one was made.
            if sealed is not None:
                sealed.keep_only(np.isin(sealed.first_sequences, alive))
                self._sealed.append(sealed)
            if growing is not None:
                for sequence in np.setdiff1d(growing.live_sequences(), alive).tolist():
                    growing.discard(sequence)
                self._growing.insert(0, growing)
            self._publish()

    def wait_newer(self, number: int, timeout_s: float) -> None:
        """Waits until a snapshot behind `number` is visible, or the time is over."""
        with self._changing:
            self._changing.wait_for(lambda: self._snapshot.number > number, timeout_s)

    def wait_commits(self, commits: int, timeout_s: float) -> bool:
        """Waits until the snapshot shows the `commits`th transaction; False when it does not."""
        with self._changing:
            return self._changing.wait_for(lambda: self._snapshot.commits >= commits, timeout_s)

    def _discard(self, first_sequence: int) -> None:
        segments: list[GrowingSegment | SealedSegment] = [*reversed(self._growing), *self._sealed]
        for segment in segments:
            if segment.discard(first_sequence):
                return

    def _publish(self, commits: int | None = None) -> None:
        before = self._snapshot
        self._snapshot = self._taken(
            before.number + 1, before.commits if commits is None else commits
        )
        self._changing.notify_all()

    def _taken(self, number: int, commits: int) -> Snapshot:
        growing = sum(segment.live_rows for segment in self._growing)
        segments: list[GrowingSegment | SealedSegment] = [*self._sealed, *self._growing]
        sealed_rows = sum(segment.live_rows for segment in self._sealed)
        return Snapshot(
            number=number,
            commits=commits,
            segments=tuple(segment.view() for segment in segments if segment.live_rows),
            images=self._images,
            patches=growing + sealed_rows,
            growing_patches=growing,
            deleted_patches=sum(segment.rows for segment in self._sealed) - sealed_rows,
            sealed_segments=len(self._sealed),
        )
