"""Before the router serves: encoder and shards are there and fit together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

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
from router.call_scope import CallScope
from router.collection import Collection
from router.connections import ShardConnections
from router.coverage import PartitionSizes
from router.placement import Partition, Placement
from service_runtime.logs import logger

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_CALL_TIMEOUT_S = 10.0

T = TypeVar("T")


class Startup:
    """Waits for the encoder and the shards and checks that they belong together. Thread-safe."""

    def __init__(
        self,
        encoder: EncoderServiceStub,
        encoder_address: str,
        shards: ShardConnections,
        sizes: PartitionSizes,
        *,
        timeout_s: float,
        create_partitions: bool,
    ) -> None:
        self._encoder = encoder
        self._encoder_address = encoder_address
        self._shards = shards
        self._sizes = sizes
        self._timeout_s = timeout_s
        self._create_partitions = create_partitions
        self._stopped = threading.Event()
        self._scope = CallScope(lambda: _CALL_TIMEOUT_S)
        self._log = logger("startup")

    def meet(self, placement: Placement) -> Collection:
        """Waits up to the timeout for everybody; returns the collection.

        A shard that does not come in time is left out with a warning as long as another one came:
        answers are degraded until it is back. Raises Unavailable NOT_READY when the encoder or
        every shard is missing, FailedPrecondition ENCODER_MISMATCH, PARTITION_NOT_FOUND,
        PLACEMENT_INVALID when they do not fit together.
        """
        ends = time.monotonic() + self._timeout_s
        what = f"the encoder at {self._encoder_address} (--encoder)"
        collection = self._patiently(
            lambda: fetch_collection(self._encoder, self._scope), what, ends
        )
        missing: list[Unavailable] = []
        by_address = placement.by_address()
        for address, partitions in by_address.items():
            try:
                self._patiently(
                    lambda a=address, p=partitions: self._check_shard(a, p, collection),  # type: ignore[misc]
                    f"shard {partitions[0].shard} at {address}",
                    ends,
                )
            except Unavailable as error:
                missing.append(error)
        if len(missing) == len(by_address):
            raise missing[0]
        for absent in missing:
            self._log.warning("serving without a shard", message=absent.message)
        return collection

    def prepare(self, placement: Placement, collection: Collection) -> None:
        """Checks the shards of a later placement once, without waiting; raises what `meet` does."""
        for address, partitions in placement.by_address().items():
            self._check_shard(address, partitions, collection)

    def stop(self) -> None:
        """Ends the waiting: `meet` raises a PatchsearchError soon. Does not block."""
        self._stopped.set()
        self._scope.cancel()

    def _patiently(self, attempt: Callable[[], T], what: str, ends: float) -> T:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                out_of_time = time.monotonic() + pause_s > ends
                if out_of_time or self._stopped.wait(pause_s):
                    raise Unavailable(
                        "NOT_READY",
                        f"{what} did not answer within {self._timeout_s:g} s: {error.message}; "
                        "start it, or give it more time with --startup-timeout-s",
                    ) from error
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _check_shard(
        self, address: str, partitions: Sequence[Partition], collection: Collection
    ) -> None:
        stub = self._shards.stub(address)
        request = shard_service_pb2.DescribePartitionsRequest()
        described = self._scope.call(stub.DescribePartitions, request).partitions
        held = {d.partition_id: d for d in described}
        for partition in partitions:
            description = held.get(partition.id)
            if description is not None:
                _check_partition(partition, description, collection)
                self._sizes.learn({partition.id: description.patches})
            elif self._create_partitions:
                self._create(partition, collection)
            else:
                raise _not_held(partition, held)

    def _create(self, partition: Partition, collection: Collection) -> None:
        request = shard_service_pb2.CreatePartitionRequest(
            partition_id=partition.id,
            hash_start=partition.hash_start,
            hash_end=partition.hash_end,
            fingerprint=collection.fingerprint,
            encoder=collection.encoder,
            dim=collection.dim,
        )
        self._scope.call(self._shards.stub(partition.address).CreatePartition, request)
        self._log.info("partition created", partition=partition.id, shard=partition.shard)


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


def _check_partition(
    partition: Partition,
    description: shard_service_pb2.PartitionDescription,
    collection: Collection,
) -> None:
    where = f"partition {partition.id} on shard {partition.shard} ({partition.address})"
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


def _not_held(partition: Partition, held: Iterable[str]) -> PatchsearchError:
    others = ", ".join(sorted(held)) or "none"
    return FailedPrecondition(
        "PARTITION_NOT_FOUND",
        f"shard {partition.shard} at {partition.address} does not hold partition {partition.id} "
        f"(it holds: {others}); start the shard on the right data directory, or make empty "
        "partitions with --create-partitions",
    )
