"""The calls between shards, and of whoever moves, repairs and splits partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from patchsearch.errors import InvalidArgument, Unavailable
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceServicer
from service_runtime.deadlines import remaining_s
from shard_service.call_time import checkpoint_of
from shard_service.fence import Epochs
from shard_service.replication.operations import Replication
from shard_service.shard import Shard

MAX_VERSIONS = 10_000
_SPLIT_STEP_S = 1.0


class ReplicationCalls(ShardServiceServicer):
    """The part of the service that concerns replicas. Thread-safe."""

    def __init__(self, shard: Shard, replication: Replication) -> None:
        self._shard = shard
        self._replication = replication

    def CopyPartition(
        self, request: pb.CopyPartitionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.CopyPartitionResponse]:
        for piece in self._replication.copy(request.partition_id, _while_wanted(context)):
            yield pb.CopyPartitionResponse(
                path=piece.path,
                offset=piece.offset,
                data=piece.data,
                total_bytes=piece.total_bytes,
            )

    def PullPartition(
        self, request: pb.PullPartitionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.PullPartitionResponse]:
        progress = self._replication.pull(
            request.partition_id, request.source, _while_wanted(context)
        )
        for one in progress:
            yield pb.PullPartitionResponse(
                done_bytes=one.done_bytes,
                total_bytes=one.total_bytes,
                already_held=one.already_held,
            )

    def DigestPartition(
        self, request: pb.DigestPartitionRequest, context: grpc.ServicerContext
    ) -> pb.DigestPartitionResponse:
        partition = self._shard.partition(request.partition_id)
        start, end = request.hash_start, request.hash_end
        if end == 0:
            start, end = partition.identity.hash_start, partition.identity.hash_end
        found = partition.replica.digests(start, end, request.parts, checkpoint_of(context))
        return pb.DigestPartitionResponse(
            ranges=[
                pb.RangeDigest(
                    hash_start=one.hash_start,
                    hash_end=one.hash_end,
                    records=one.records,
                    digest=one.digest_bytes,
                )
                for one in found
            ]
        )

    def ListVersions(
        self, request: pb.ListVersionsRequest, context: grpc.ServicerContext
    ) -> pb.ListVersionsResponse:
        partition = self._shard.partition(request.partition_id)
        if not 1 <= request.page_size <= MAX_VERSIONS:
            raise InvalidArgument(
                "PAGE_SIZE_OUT_OF_RANGE",
                f"page_size is {request.page_size}; ask for 1 to {MAX_VERSIONS}",
            )
        found = partition.replica.versions(
            request.hash_start,
            request.hash_end,
            request.after.encode("utf-8"),
            request.page_size,
            checkpoint_of(context),
        )
        return pb.ListVersionsResponse(
            versions=[
                pb.ImageVersion(
                    image_id=key.decode("utf-8"), version=state.version, deleted=state.deleted
                )
                for key, state in found
            ]
        )

    def RepairPartition(
        self, request: pb.RepairPartitionRequest, context: grpc.ServicerContext
    ) -> pb.RepairPartitionResponse:
        def left_s() -> float:
            return remaining_s(context)

        taken = self._replication.repair(
            request.partition_id, request.source, left_s, _both(checkpoint_of(context), context)
        )
        return pb.RepairPartitionResponse(images=taken.images, deletions=taken.deletions)

    def FencePartition(
        self, request: pb.FencePartitionRequest, context: grpc.ServicerContext
    ) -> pb.FencePartitionResponse:
        partition = self._shard.partition(request.partition_id)
        if request.hold_read_epoch:
            partition.fence.hold_reads(request.hold_read_epoch, request.hold_read_ms / 1000)
        epochs = partition.fence.raise_to(Epochs(request.min_write_epoch, request.min_read_epoch))
        return pb.FencePartitionResponse(
            min_write_epoch=epochs.min_write, min_read_epoch=epochs.min_read
        )

    def SplitPartition(
        self, request: pb.SplitPartitionRequest, context: grpc.ServicerContext
    ) -> pb.SplitPartitionResponse:
        progress = self._replication.split(
            request.partition_id,
            request.lower_partition_id,
            request.upper_partition_id,
            min(_SPLIT_STEP_S, remaining_s(context) / 2),
        )
        return pb.SplitPartitionResponse(
            moved_images=progress.moved_images,
            total_images=progress.total_images,
            done=progress.done,
        )

    def DropPartition(
        self, request: pb.DropPartitionRequest, context: grpc.ServicerContext
    ) -> pb.DropPartitionResponse:
        return pb.DropPartitionResponse(dropped=self._replication.drop(request.partition_id))


def _while_wanted(context: grpc.ServicerContext) -> Callable[[], None]:
    """For streams, whose deadline grpc watches: raises once the caller has gone."""

    def check() -> None:
        if not context.is_active():
            raise Unavailable("NOT_READY", "the caller has gone; what was begun is undone")

    return check


def _both(check: Callable[[], None], context: grpc.ServicerContext) -> Callable[[], None]:
    wanted = _while_wanted(context)

    def both() -> None:
        check()
        wanted()

    return both
