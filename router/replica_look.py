"""One look at all replicas of a placement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from patchsearch.errors import DeadlineExceeded, PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from placement.document import Partition, Placement, Replica
from router.arrivals import Arrivals
from router.call_scope import CallScope, answer
from router.connections import ShardConnections

Description = shard_service_pb2.PartitionDescription


@dataclass(frozen=True, slots=True)
class Look:
    """What shards say of the replicas that a placement gives them."""

    began: float
    """Monotonic seconds."""
    replicas: dict[tuple[str, str], Description] = field(default_factory=dict)
    """By partition id and address of the shard."""
    held: dict[str, list[str]] = field(default_factory=dict)
    """Everything that a shard holds, by its address; shards that answered alone."""
    errors: dict[str, PatchsearchError] = field(default_factory=dict)
    """By address, why a shard did not answer."""

    def holders(self, partition: Partition) -> list[Replica]:
        """The replicas that are there."""
        return [r for r in partition.replicas if (partition.id, r.address) in self.replicas]

    def lacking(self, partition: Partition) -> list[Replica]:
        """The replicas whose shard answers and does not hold the partition."""
        return [
            r
            for r in partition.replicas
            if r.address in self.held and (partition.id, r.address) not in self.replicas
        ]


def never(look: Look) -> bool:
    """For looks at everything."""
    return False


def look_at_replicas(
    shards: ShardConnections,
    placement: Placement,
    scope: CallScope,
    reserve_s: float = 0.0,
    enough: Callable[[Look], bool] = never,
    at_most_s: float = math.inf,
) -> Look:
    """Asks all shards at once, those that are being filled too, and waits for them together: until
    what has come is `enough`, for `at_most_s` seconds, or as long as the scope lasts.

    Raises what `CallScope.start` raises.
    """
    look = Look(time.monotonic())
    ends = look.began + min(at_most_s, scope.remaining_s(reserve_s))
    request = shard_service_pb2.DescribePartitionsRequest()
    arrivals: Arrivals[str, shard_service_pb2.DescribePartitionsResponse] = Arrivals()
    by_address = placement.written_by_address()
    for address in by_address:
        stub = shards.stub(address)
        arrivals.add(address, scope.start(stub.DescribePartitions, request, reserve_s=reserve_s))
        look.errors[address] = DeadlineExceeded("DEADLINE_EXCEEDED", "it did not answer in time")
    for address, call in arrivals.until(ends):
        try:
            told = answer(call).partitions
        except PatchsearchError as error:
            look.errors[address] = error
            continue
        del look.errors[address]
        look.held[address] = [d.partition_id for d in told]
        own = {partition.id for partition in by_address[address]}
        look.replicas.update(((d.partition_id, address), d) for d in told if d.partition_id in own)
        if enough(look):
            break
    return look
