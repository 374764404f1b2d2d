"""Where a placement is kept: one document, replaced as a whole, epoch by epoch."""

from __future__ import annotations

from typing import Protocol

from placement.document import Placement


class PlacementStore(Protocol):
    """A store of one placement. Thread-safe."""

    def load(self) -> Placement:
        """The placement as it is now.

        Raises FailedPrecondition PLACEMENT_INVALID where there is none or it is malformed,
        Unavailable PLACEMENT_UNAVAILABLE while the store does not answer.
        """

    def replace(self, placement: Placement, expected_epoch: int | None) -> None:
        """Stores `placement` if the one that is there has `expected_epoch`; None: if none is there.

        Its epoch must be higher. Whole or not at all, and durable. Raises FailedPrecondition
        PLACEMENT_CHANGED when another writer was quicker: load it and decide anew.
        """

    def wait_for_change(self, timeout_s: float) -> bool:
        """Waits until the store may hold another placement than the last one loaded.

        Returns whether it may, False after `timeout_s` seconds or once `close` was called.
        """

    def close(self) -> None:
        """Ends what waits and lets everything go; again is not an error."""
