"""A shard that answers searches with what a test tells it to, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import grpc

from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceServicer
from patchsearch.v1.search_service_pb2 import Hit
from patchsearch.wire.status import status_proto


class FakeShard(ShardServiceServicer):
    """Holds partitions in name only."""

    def __init__(self, hits: Sequence[Hit] = (), patches: int = 10) -> None:
        self.hits = list(hits)
        self.patches = patches
        self.partitions: dict[str, pb.PartitionDescription] = {}
        self.error: PatchsearchError | None = None
        """Raised instead of an answer to a search."""
        self.refused: dict[str, PatchsearchError] = {}
        """Errors by partition, in the results of searches."""
        self.go_on = threading.Event()
        """Searches wait for it."""
        self.go_on.set()
        self.searches: list[pb.SearchPartitionsRequest] = []
        self.cancelled = threading.Event()

    def hold(self, partition_id: str, start: int, end: int, fingerprint: str) -> None:
        self.partitions[partition_id] = pb.PartitionDescription(
            partition_id=partition_id,
            hash_start=start,
            hash_end=end,
            fingerprint=fingerprint,
            encoder="the-encoder-before",
            patches=self.patches,
        )

    def CreatePartition(self, request: pb.CreatePartitionRequest, context: grpc.ServicerContext):
        self.hold(request.partition_id, request.hash_start, request.hash_end, request.fingerprint)
        return pb.CreatePartitionResponse(created=True)

    def DescribePartitions(
        self, request: pb.DescribePartitionsRequest, context: grpc.ServicerContext
    ):
        return pb.DescribePartitionsResponse(partitions=self.partitions.values())

    def SearchPartitions(self, request: pb.SearchPartitionsRequest, context: grpc.ServicerContext):
        self.searches.append(request)
        context.add_callback(lambda: None if self.go_on.is_set() else self.cancelled.set())
        self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        response = pb.SearchPartitionsResponse(hits=self.hits[: request.k])
        for partition_id in request.partition_ids:
            result = response.partitions.add(partition_id=partition_id, patches=self.patches)
            if partition_id in self.refused:
                result.error.CopyFrom(status_proto(self.refused[partition_id]))
        return response
