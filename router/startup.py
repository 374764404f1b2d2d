"""Before the router serves: encoder and shards are there and fit together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from patchsearch.encoder.v1 import encoder_service_pb2
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    PatchsearchError,
    ResourceExhausted,
    Unavailable,
)
from patchsearch.shard.v1 import shard_service_pb2
from placement.document import Partition, Placement, Replica
from router.call_scope import CallScope
from router.clock import HybridLogicalClock
from router.collection import Collection
from router.connections import ShardConnections
from router.coverage import PartitionSizes, named
from router.replica_look import Look, look_at_replicas, never
from service_runtime.logs import logger

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_CALL_TIMEOUT_S = 10.0
_LOOK_S = 2.0
_MOMENT_S = 2.0
"""For the last shards while every partition has a replica."""


class Startup:
    """Waits for the encoder and the shards and checks that they belong together. Thread-safe."""

    def __init__(
        self,
        encoder: EncoderServiceStub,
        encoder_address: str,
        shards: ShardConnections,
        sizes: PartitionSizes,
        clock: HybridLogicalClock,
        *,
        timeout_s: float,
        create_partitions: bool,
    ) -> None:
        self._encoder = encoder
        self._encoder_address = encoder_address
        self._shards = shards
        self._sizes = sizes
        self._clock = clock
        self._timeout_s = timeout_s
        self._create_partitions = create_partitions
        self._stopped = threading.Event()
        self._scope = CallScope(lambda: _CALL_TIMEOUT_S)
        self._look_scope = CallScope(lambda: _LOOK_S)
        self._log = logger("startup")

    def meet(self, placement: Placement) -> Collection:
        """Waits up to the timeout for everybody; returns the collection.

        Shards that are missing while every partition has a replica get a moment more. Those that do
        not come are left out with a warning as long as another one came. Raises Unavailable
        NOT_READY when the encoder or every shard is missing, FailedPrecondition ENCODER_MISMATCH,
        PARTITION_NOT_FOUND, PLACEMENT_INVALID when they do not fit together.
        """
        ends = time.monotonic() + self._timeout_s
        collection = self._meet_encoder(ends)
        pause_s = _FIRST_PAUSE_S
        while True:
            look = self._look(placement, collection)
            if not look.errors:
                return collection
            now = time.monotonic()
            if not _uncovered(look, placement):
                ends = min(ends, now + _MOMENT_S)
            if now + pause_s > ends or self._stopped.wait(pause_s):
                break
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        for address, error in look.errors.items():
            missing = self._not_there(f"the shard at {address}", error)
            if not look.held:
                raise missing from error
            self._log.warning("serving without a shard", message=missing.message)
        return collection

    def prepare(self, placement: Placement, in_force: Placement, collection: Collection) -> None:
        """Checks a later placement once, without waiting for shards that do not answer.

        Raises what `meet` does, and Unavailable NOT_READY where a partition has no replica that
        answers, unless it had no others in the placement in force.
        """
        # With a replica of each there is no waiting for shards that hang.
        look = self._look(
            placement, collection, enough=lambda so_far: not _uncovered(so_far, placement)
        )
        for partition in _uncovered(look, placement):
            before = in_force.partition(partition.id)
            if before is None or not set(partition.replicas) <= set(before.replicas):
                raise Unavailable(
                    "NOT_READY", f"no replica of partition {named(partition)} answers yet"
                )

    def create_lost(self, partition: Partition, collection: Collection) -> None:
        """Creates a partition that no replica has, where that is asked for."""
        if self._create_partitions:
            self._create(partition, collection)

    def stop(self) -> None:
        """Ends the waiting: `meet` raises a PatchsearchError soon. Does not block."""
        self._stopped.set()
        self._scope.cancel()
        self._look_scope.cancel()

    def _meet_encoder(self, ends: float) -> Collection:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return fetch_collection(self._encoder, self._scope)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                if time.monotonic() + pause_s > ends or self._stopped.wait(pause_s):
                    what = f"the encoder at {self._encoder_address} (--encoder)"
                    raise self._not_there(what, error) from error
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _not_there(self, what: str, error: PatchsearchError) -> Unavailable:
        return Unavailable(
            "NOT_READY",
            f"{what} did not answer within {self._timeout_s:g} s: {error.message}; "
            "start it, or give it more time with --startup-timeout-s",
        )

    def _look(
        self, placement: Placement, collection: Collection, enough: Callable[[Look], bool] = never
    ) -> Look:
        """One look; partitions that no replica has are created, or refused."""
        look = look_at_replicas(self._shards, placement, self._look_scope, enough=enough)
        for partition in placement.partitions:
            for replica in look.holders(partition):
                description = look.replicas[partition.id, replica.address]
                _check_partition(partition, replica, description, collection)
                self._sizes.learn({partition.id: description.patches})
                self._clock.follow(description.newest_version)
            lacking = look.lacking(partition)
            if len(lacking) == len(partition.replicas):
                if not self._create_partitions:
                    raise _not_held(partition, lacking[0], look.held[lacking[0].address])
                try:
                    self._create(partition, collection)
                except Unavailable as error:
                    # Another router creates it at the same moment: the next look finds it.
                    look.errors[lacking[0].address] = error
            elif lacking and look.holders(partition):
                self._log.warning(
                    "a replica is missing and will be fetched from another one",
                    partition=partition.id,
                    shards=[replica.shard for replica in lacking],
                )
        return look

    def _create(self, partition: Partition, collection: Collection) -> None:
        request = shard_service_pb2.CreatePartitionRequest(
            partition_id=partition.id,
            hash_start=partition.hash_start,
            hash_end=partition.hash_end,
            fingerprint=collection.fingerprint,
            encoder=collection.encoder,
            dim=collection.dim,
        )
        for replica in partition.replicas:
            self._scope.call(self._shards.stub(replica.address).CreatePartition, request)
            self._log.info("partition created", partition=partition.id, shard=replica.shard)


def fetch_collection(encoder: EncoderServiceStub, scope: CallScope) -> Collection:
    """Asks the encoder what it is; raises what it raises."""
    told = scope.call(encoder.GetEncoder, encoder_service_pb2.GetEncoderRequest())
    return Collection(
        encoder=told.name,
        fingerprint=told.fingerprint,
        dim=told.dim,
        max_batch=max(1, told.limits.max_batch),
        max_text_tokens=told.limits.max_text_tokens,
        selector=told.selector,
        saliency=told.saliency,
    )


def _uncovered(look: Look, placement: Placement) -> list[Partition]:
    """Partitions of which no replica is there; those that were just created have one."""
    return [
        partition
        for partition in placement.partitions
        if not look.holders(partition) and len(look.lacking(partition)) < len(partition.replicas)
    ]


def _check_partition(
    partition: Partition,
    replica: Replica,
    description: shard_service_pb2.PartitionDescription,
    collection: Collection,
) -> None:
    where = f"partition {partition.id} on shard {replica.shard} ({replica.address})"
    if description.fingerprint != collection.fingerprint:
        raise FailedPrecondition(
            "ENCODER_MISMATCH",
            f"{where} holds vectors of {description.encoder} ({description.fingerprint}), and the "
            f"encoder is {collection.encoder} ({collection.fingerprint}): start the encoder as "
            f"{description.encoder}, or ingest into a new data directory",
            metadata={"fingerprint": description.fingerprint, "expected": collection.fingerprint},
        )
    if (description.hash_start, description.hash_end) != (partition.hash_start, partition.hash_end):
        raise FailedPrecondition(
            "PLACEMENT_INVALID",
            f"{where} holds hashes {description.hash_start:016x} to {description.hash_end:016x}, "
            f"and the placement says {partition.hash_start:016x} to {partition.hash_end:016x}; "
            "mend the placement",
        )


def _not_held(partition: Partition, replica: Replica, held: Iterable[str]) -> PatchsearchError:
    others = ", ".join(sorted(held)) or "none"
    return FailedPrecondition(
        "PARTITION_NOT_FOUND",
        f"shard {replica.shard} at {replica.address} does not hold partition {partition.id} "
        f"(it holds: {others}), nor does another replica; start the shard on the right data "
        "directory, or make empty partitions with --create-partitions",
    )
