"""The placement that an operation acts on, and the next ones that it makes of it."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.events import Published, Tell
from cluster.shards import Shards
from patchsearch.errors import Unavailable
from placement.document import Placement
from placement.store import PlacementStore

HOLD_S = 1.5
"""Longest that shards which are about to lose a partition refuse reads, should nothing follow: less
than routers wait for an epoch that they are told of, so that their searches are answered then."""


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

    def publish_held(
        self, placement: Placement, what: str, shards: Shards, held: Iterable[tuple[str, str]]
    ) -> None:
        """As `publish`, of an epoch in which shards do not hold partitions any more: pairs of
        address and partition id.

        From just before it these refuse reads of older epochs, so that no router gets an answer
        there that lacks what was written to others; routers that are refused wait for the new one.
        Whoever is killed in between holds them up for `HOLD_S`. A shard that does not answer is
        passed over.
        """
        for address, partition_id in held:
            try:
                shards.hold_reads(address, partition_id, placement.epoch, HOLD_S)
            except Unavailable:
                continue
        self.publish(placement, what)

    def publish(self, placement: Placement, what: str) -> None:
        """Puts the next epoch in force; `what` says in words what is new about it.

        Raises FailedPrecondition PLACEMENT_CHANGED when another operation got in between.
        """
        self._store.replace(placement, self._placement.epoch)
        self._placement = placement
        self._tell(Published(placement.epoch, what))
