"""Which segments a partition has; searches see one immutable snapshot of them after another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shard_service.segments.growing import GrowingSegment, GrowingView
from shard_service.segments.row_table import Segment
from shard_service.segments.sealed import SealedSegment
from shard_service.store.images import DeleteImage, Operation, Outcome, PutImage

_FEW_DEAD = 4096


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """A partition as of one commit. `number` grows with every change."""

    number: int
    segments: tuple[Segment, ...]
    images: int
    patches: int
    growing_patches: int
    sealed_segments: int


class SegmentSet:
    """Sealed segments, growing segments that are being sealed, and the one that takes new rows.

    Every live row is in exactly one of them. Changes are made under a lock and become visible by
    one assignment, so a search sees an image replaced wholly or not yet, and never waits.
    """

    def __init__(
        self, dim: int, sealed: Sequence[SealedSegment], growing: GrowingSegment, images: int
    ) -> None:
        self._dim = dim
        self._changing = threading.Condition()
        self._sealed = list(sealed)
        # Frozen ones, which only lose rows, and at the end the one that grows.
        self._growing = [growing]
        self._images = images
        self._snapshot = self._taken(0)

    @property
    def snapshot(self) -> Snapshot:
        """The segments as of now."""
        return self._snapshot

    def apply(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """Makes committed operations visible, all at once."""
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
            self._publish()

    def freeze(self) -> tuple[list[GrowingSegment], list[GrowingView]]:
        """Takes what has grown so far out of the reach of new rows, to be sealed.

        It is searched on, and loses the rows that are replaced or deleted meanwhile. Returns it
        with its rows as of now, in the order of their sequences.
        """
        with self._changing:
            frozen = list(self._growing)
            if self._growing[-1].rows or len(self._growing) == 1:
                self._growing.append(GrowingSegment(self._dim))
            else:
                frozen.pop()
            self._publish()
            return frozen, [segment.view() for segment in frozen]

    def replace(self, frozen: Sequence[GrowingSegment], sealed: SealedSegment | None) -> None:
        """Puts `sealed` in the place of the segments that it was built from."""
        with self._changing:
            gone = set(map(id, frozen))
            self._growing = [segment for segment in self._growing if id(segment) not in gone]
            if sealed is not None:
                alive = np.concatenate([segment.live_sequences() for segment in frozen])
                # What was replaced or deleted while the index was built.
                sealed.keep_only(np.isin(sealed.first_sequences, alive))
                self._sealed.append(sealed)
            self._publish()

    def wait_newer(self, number: int, timeout_s: float) -> None:
        """Waits until a snapshot behind `number` is visible, or the time is over."""
        with self._changing:
            self._changing.wait_for(lambda: self._snapshot.number > number, timeout_s)

    def _discard(self, first_sequence: int) -> None:
        segments: list[GrowingSegment | SealedSegment] = [*reversed(self._growing), *self._sealed]
        for segment in segments:
            if segment.discard(first_sequence):
                return

    def _publish(self) -> None:
        self._snapshot = self._taken(self._snapshot.number + 1)
        self._changing.notify_all()

    def _taken(self, number: int) -> Snapshot:
        growing = sum(segment.live_rows for segment in self._growing)
        segments: list[GrowingSegment | SealedSegment] = [*self._sealed, *self._growing]
        return Snapshot(
            number=number,
            segments=tuple(segment.view() for segment in segments if segment.live_rows),
            images=self._images,
            patches=growing + sum(segment.live_rows for segment in self._sealed),
            growing_patches=growing,
            sealed_segments=len(self._sealed),
        )
