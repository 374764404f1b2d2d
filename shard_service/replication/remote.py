"""A replica on another shard, as a source of what is missing here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import grpc

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.status import error_from_rpc
from shard_service.conversion import write_from_proto
from shard_service.replication.digests import RangeDigest
from shard_service.replication.source_errors import source_errors, source_failed
from shard_service.store.images import Image, PatchRows, RecordState

_ASK_FOR_FEWER = ("MESSAGE_TOO_LARGE", "STORE_CORRUPT")

Connect = Callable[[str], grpc.Channel]
"""Makes a channel to another shard's address; whoever asks closes it."""


class RemoteReplica:
    """A `ReplicaSource` over gRPC. Thread-safe.

    `left_s` tells how many seconds are left; it raises when there are none. No call takes longer
    than `call_s`. Everything raises Unavailable SOURCE_FAILED when the other shard does not answer
    as it should.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        address: str,
        partition_id: str,
        left_s: Callable[[], float],
        call_s: float = math.inf,
    ) -> None:
        self._call_s = call_s
        self._stub = ShardServiceStub(channel)
        self._address = address
        self._partition_id = partition_id
        self._left_s = left_s

    def digests(self, hash_start: int, hash_end: int, parts: int) -> Sequence[RangeDigest]:
        """See `ReplicaSource`."""
        request = pb.DigestPartitionRequest(
            partition_id=self._partition_id, hash_start=hash_start, hash_end=hash_end, parts=parts
        )
        with source_errors(self._address):
            answer = self._stub.DigestPartition(request, timeout=self._timeout_s())
        return [
            RangeDigest(
                one.hash_start, one.hash_end, one.records, int.from_bytes(one.digest, "big")
            )
            for one in answer.ranges
        ]

    def versions(
        self, hash_start: int, hash_end: int, after: bytes, count: int
    ) -> Sequence[tuple[bytes, RecordState]]:
        """See `ReplicaSource`."""
        request = pb.ListVersionsRequest(
            partition_id=self._partition_id,
            hash_start=hash_start,
            hash_end=hash_end,
            after=after.decode("utf-8"),
            page_size=count,
        )
        with source_errors(self._address):
            answer = self._stub.ListVersions(request, timeout=self._timeout_s())
        return [
            (one.image_id.encode("utf-8"), RecordState(one.version, one.deleted))
            for one in answer.versions
        ]

    def images(self, keys: Sequence[bytes]) -> Sequence[tuple[Image, PatchRows]]:
        """See `ReplicaSource`; asks again for fewer where they do not fit into one message, or one
        of them is damaged there."""
        if not keys:
            return []
        request = pb.GetImagesRequest(
            partition_id=self._partition_id,
            image_ids=[key.decode("utf-8") for key in keys],
            include_vectors=True,
        )
        try:
            answer = self._stub.GetImages(request, timeout=self._timeout_s())
        except grpc.RpcError as raised:
            error = error_from_rpc(raised)
            if error.reason not in _ASK_FOR_FEWER:
                raise source_failed(self._address, error) from raised
            if len(keys) == 1:
                # Damaged there as well: another replica may have it.
                return []
            middle = len(keys) // 2
            return [*self.images(keys[:middle]), *self.images(keys[middle:])]
        return [write_from_proto(message) for message in answer.images]

    def _timeout_s(self) -> float:
        return min(self._left_s(), self._call_s)
