"""The gRPC face of a shard: messages in, one call inside, messages out."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from patchsearch.errors import InvalidArgument, PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import add_ShardServiceServicer_to_server
from patchsearch.wire.status import status_proto
from service_runtime.server import Service
from service_runtime.stages import stage
from shard_service import validation
from shard_service.answers import PartitionAnswer
from shard_service.call_time import checkpoint_of
from shard_service.conversion import (
    add_hits,
    image_to_proto,
    query_from_proto,
    state_to_proto,
    write_from_proto,
)
from shard_service.replication.operations import Replication
from shard_service.replication.servicer import ReplicationCalls
from shard_service.shard import Shard, ShardAnswer
from shard_service.store.images import Outcome
from shard_service.store.meta import Identity
from shard_service.versions import VersionWatch

SERVICE_NAME = "patchsearch.shard.v1.ShardService"


class ShardServicer(ReplicationCalls):
    """Serves a `Shard`; raises the errors of `patchsearch.errors`, which the server turns into
    statuses. Thread-safe."""

    def __init__(
        self,
        shard: Shard,
        replication: Replication,
        snapshot_roots: Sequence[str] = (),
        versions: VersionWatch | None = None,
    ) -> None:
        """Snapshots may be written below `snapshot_roots`: absolute paths, and prefixes of URLs."""
        super().__init__(shard, replication)
        self._snapshot_roots = tuple(snapshot_roots)
        self._versions = versions or VersionWatch()

    def CreatePartition(
        self, request: pb.CreatePartitionRequest, context: grpc.ServicerContext
    ) -> pb.CreatePartitionResponse:
        identity = Identity(
            partition_id=request.partition_id,
            hash_start=request.hash_start,
            hash_end=request.hash_end,
            fingerprint=request.fingerprint,
            encoder=request.encoder,
            dim=request.dim,
        )
        return pb.CreatePartitionResponse(created=self._shard.create(identity))

    def PutImages(
        self, request: pb.PutImagesRequest, context: grpc.ServicerContext
    ) -> pb.PutImagesResponse:
        partition = self._shard.partition(request.partition_id)
        validation.check_batch(len(request.images), "images")
        self._versions.check(message.version for message in request.images)
        for message in request.images:
            if message.patches or message.vectors.fingerprint:
                partition.check_fingerprint(message.vectors.fingerprint)
        writes = [write_from_proto(message) for message in request.images]
        fingerprint = partition.identity.fingerprint
        outcomes = partition.put_images(writes, fingerprint, request.epoch)
        return pb.PutImagesResponse(
            applied=[outcome.applied for outcome in outcomes],
            stored_versions=_stored_versions(outcomes),
            newest_version=self._versions.newest(partition.replica.newest_version),
        )

    def DeleteImages(
        self, request: pb.DeleteImagesRequest, context: grpc.ServicerContext
    ) -> pb.DeleteImagesResponse:
        partition = self._shard.partition(request.partition_id)
        validation.check_batch(len(request.image_ids), "ids")
        self._versions.check([request.version])
        outcomes = partition.delete_images(request.image_ids, request.version, request.epoch)
        return pb.DeleteImagesResponse(
            deleted=[outcome.displaced is not None for outcome in outcomes],
            stored_versions=_stored_versions(outcomes),
            newest_version=self._versions.newest(partition.replica.newest_version),
        )

    def SearchPartitions(
        self, request: pb.SearchPartitionsRequest, context: grpc.ServicerContext
    ) -> pb.SearchPartitionsResponse:
        validation.check_further(len(request.further_queries))
        asked = [request, *request.further_queries]
        queries = [(query_from_proto(one), one.vector.fingerprint) for one in asked]
        with stage("partitions", partitions=len(request.partition_ids), queries=len(queries)):
            answers = self._shard.search(
                request.partition_ids, queries, checkpoint_of(context), request.epoch
            )
        response = pb.SearchPartitionsResponse()
        _fill(response, answers[0])
        for answer in answers[1:]:
            _fill(response.further_answers.add(), answer)
        return response

    def GetImages(
        self, request: pb.GetImagesRequest, context: grpc.ServicerContext
    ) -> pb.GetImagesResponse:
        partition = self._shard.partition(request.partition_id)
        validation.check_batch(len(request.image_ids), "ids")
        partition.fence.check_read(request.epoch)
        with_patches = request.include_patches or request.include_vectors
        images = partition.get_images(request.image_ids, with_patches=with_patches)
        fingerprint = partition.identity.fingerprint
        return pb.GetImagesResponse(
            images=[
                image_to_proto(image, fingerprint, include_vectors=request.include_vectors)
                for image in images
            ]
        )

    def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.ServicerContext
    ) -> pb.ListImagesResponse:
        partition = self._shard.partition(request.partition_id)
        if not 1 <= request.page_size <= validation.MAX_BATCH:
            raise InvalidArgument(
                "PAGE_SIZE_OUT_OF_RANGE",
                f"page_size is {request.page_size}; ask for 1 to {validation.MAX_BATCH}",
            )
        partition.fence.check_read(request.epoch)
        images = partition.list_images(request.after, request.prefix, request.page_size)
        fingerprint = partition.identity.fingerprint
        return pb.ListImagesResponse(
            images=[
                pb.ListedImage(
                    image=image_to_proto(image, fingerprint), patch_count=image.patch_count
                )
                for image in images
            ]
        )

    def DescribePartitions(
        self, request: pb.DescribePartitionsRequest, context: grpc.ServicerContext
    ) -> pb.DescribePartitionsResponse:
        answer = pb.DescribePartitionsResponse()
        for partition in self._shard.partitions(request.partition_ids):
            try:
                state = partition.describe()
            except Unavailable:
                if request.partition_ids or partition in self._shard.partitions():
                    raise
                # It was dropped a moment ago.
                continue
            message = state_to_proto(state, partition.disk_bytes())
            message.newest_version = self._versions.newest(state.newest_version)
            answer.partitions.append(message)
        return answer

    def SealPartition(
        self, request: pb.SealPartitionRequest, context: grpc.ServicerContext
    ) -> pb.SealPartitionResponse:
        return pb.SealPartitionResponse(
            sealed_patches=self._shard.partition(request.partition_id).seal(checkpoint_of(context))
        )

    def CompactPartition(
        self, request: pb.CompactPartitionRequest, context: grpc.ServicerContext
    ) -> pb.CompactPartitionResponse:
        partition = self._shard.partition(request.partition_id)
        dropped, merged = partition.compact(checkpoint_of(context))
        return pb.CompactPartitionResponse(dropped_rows=dropped, merged_segments=merged)

    def SnapshotPartition(
        self, request: pb.SnapshotPartitionRequest, context: grpc.ServicerContext
    ) -> pb.SnapshotPartitionResponse:
        partition = self._shard.partition(request.partition_id)
        validation.check_destination(request.destination, self._snapshot_roots)
        report = partition.snapshot(request.destination, checkpoint_of(context))
        return pb.SnapshotPartitionResponse(
            files=report.files, bytes=report.bytes, images=report.images, patches=report.patches
        )

    def ScrubPartition(
        self, request: pb.ScrubPartitionRequest, context: grpc.ServicerContext
    ) -> pb.ScrubPartitionResponse:
        report = self._shard.partition(request.partition_id).scrub(checkpoint_of(context))
        return pb.ScrubPartitionResponse(
            images=report.images,
            patches=report.patches,
            segments=report.segments,
            damages=[
                pb.Damage(place=one.place, image_id=one.image_id, detail=one.detail)
                for one in report.damages
            ],
        )


def shard_service(
    shard: Shard,
    snapshot_roots: Sequence[str] = (),
    replication: Replication | None = None,
    versions: VersionWatch | None = None,
) -> Service:
    """The service to be run by `service_runtime`.

    Without `replication` it reaches other shards by plain channels, and forgets no deletions;
    without `versions` writes may be five minutes ahead.
    """
    replication = replication or Replication(shard)
    servicer = ShardServicer(shard, replication, snapshot_roots, versions)
    return Service(SERVICE_NAME, servicer, add_ShardServiceServicer_to_server)


def _stored_versions(outcomes: Sequence[Outcome]) -> list[int]:
    return [0 if outcome.after is None else outcome.after.version for outcome in outcomes]


def _fill(response: pb.SearchPartitionsResponse, answer: ShardAnswer) -> None:
    add_hits(response, answer.hits)
    response.more = answer.more
    response.partitions.extend(_result(*outcome) for outcome in answer.partitions)


def _result(partition_id: str, outcome: PartitionAnswer | PatchsearchError) -> pb.PartitionResult:
    if isinstance(outcome, PatchsearchError):
        return pb.PartitionResult(partition_id=partition_id, error=status_proto(outcome))
    return pb.PartitionResult(
        partition_id=partition_id,
        patches=outcome.patches,
        candidates_read=outcome.candidates_read,
    )
