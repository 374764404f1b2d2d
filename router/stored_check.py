"""Whether an image is stored already, on as many replicas as a write of it would need."""

from __future__ import annotations

import time
from collections.abc import Callable

from patchsearch.errors import DataLoss, PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from placement.document import Placement
from router.arrivals import Arrivals
from router.call_scope import CallScope, answer
from router.connections import ShardConnections
from router.consistency import Consistency

_WAIT_S = 2.0
"""Longest that a replica is waited for: storing the image again does no harm."""

Matches = Callable[[shard_service_pb2.StoredImage], bool]


class StoredCheck:
    """Looks for images at their replicas. Thread-safe."""

    def __init__(self, shards: ShardConnections) -> None:
        self._shards = shards

    def is_stored(
        self,
        image_id: str,
        matches: Matches,
        consistency: Consistency,
        placement: Placement,
        scope: CallScope,
    ) -> bool:
        """Whether enough replicas hold an image that `matches`.

        "Unchanged" acknowledges like a write, so it takes as many replicas: one alone may be behind
        a deletion, or be the only one that ever got the image. Raises what the replicas raise when
        so many fail that a write could not be acknowledged either.
        """
        partition = placement.partition_of(image_id)
        needed = consistency.needed(len(partition.replicas))
        request = shard_service_pb2.GetImagesRequest(
            partition_id=partition.id, image_ids=[image_id], epoch=placement.epoch
        )
        arrivals: Arrivals[str, shard_service_pb2.GetImagesResponse] = Arrivals()
        for replica in partition.replicas:
            stub = self._shards.stub(replica.address)
            arrivals.add(replica.address, scope.start(stub.GetImages, request))
        matching = answered = 0
        failures: list[PatchsearchError] = []
        for _, call in arrivals.until(time.monotonic() + min(_WAIT_S, scope.remaining_s())):
            try:
                images = answer(call).images
                matching += any(map(matches, images))
            except DataLoss:
                # What is stored is damaged, and writing it again is what mends it.
                pass
            except PatchsearchError as error:
                if error.reason != "STALE_PLACEMENT":  # the write will load the next one
                    failures.append(error)
                    continue
            answered += 1
            if matching >= needed:
                return True
            if answered - matching > len(partition.replicas) - needed:
                return False
        if answered >= needed:
            return False
        if not failures:
            raise Unavailable("PARTITION_UNAVAILABLE", "no replica answered in time; try again")
        raise next((f for f in failures if f.reason == "OVERLOADED"), failures[0])
