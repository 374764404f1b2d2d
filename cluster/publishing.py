"""The placement that an operation acts on, and the next ones that it makes of it."""

from __future__ import annotations

from cluster.events import Published, Tell
from placement.document import Placement
from placement.store import PlacementStore


class Publisher:
    """Replaces the placement epoch by epoch, as long as nobody else does. One thread at a time."""

    def __init__(self, store: PlacementStore, tell: Tell) -> None:
        """Loads the placement; raises what `PlacementStore.load` raises."""
        self._store = store
        self._tell = tell
        self._placement = store.load()

    @property
    def placement(self) -> Placement:
        """The one that was loaded or published last."""
        return self._placement

    def publish(self, placement: Placement, what: str) -> None:
        """Puts the next epoch in force; `what` says in words what is new about it.

        Raises FailedPrecondition PLACEMENT_CHANGED when another operation got in between.
        """
        self._store.replace(placement, self._placement.epoch)
        self._placement = placement
        self._tell(Published(placement.epoch, what))
