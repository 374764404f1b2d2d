"""A shard that answers searches with what a test tells it to, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import grpc

from patchsearch.errors import FailedPrecondition, NotFound, PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceServicer
from patchsearch.v1.search_service_pb2 import Hit
from patchsearch.wire.status import status_proto
from placement.document import Placement


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
        self.only_own: Placement | None = None
        """Where images belong: only hits of the partitions asked for are told."""
        self.slow_s = 0.0
        """Searches take so long, unless they are given up."""
        self.oldest_epoch = 0
        """Of placements that are not stale."""
        self.runs = threading.Event()
        """Every call waits for it, as if the process was stopped."""
        self.runs.set()
        self.looks = 0
        """Times it was asked what it holds."""
        self.searches: list[pb.SearchPartitionsRequest] = []
        self.answers_further = True
        """Whether it is of a release that reads further queries."""
        self.share: int | None = None
        """The most hits it tells a query that asks for its share of them."""
        self.largest: int | None = None
        """Hits of all answers of a call, beyond which that is refused as too large a message."""
        self.cancelled = threading.Event()
        self.write_error: PatchsearchError | None = None
        """Raised instead of an answer to a write."""
        self.writes_go_on = threading.Event()
        """Writes wait for it."""
        self.writes_go_on.set()
        self.puts: list[pb.PutImagesRequest] = []
        self.versions: dict[str, int] = {}
        """Of images, deleted ones too."""

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
        self.looks += 1
        self.runs.wait(30)
        return pb.DescribePartitionsResponse(partitions=self.partitions.values())

    def SearchPartitions(self, request: pb.SearchPartitionsRequest, context: grpc.ServicerContext):
        self.searches.append(request)
        over = threading.Event()
        context.add_callback(over.set)

        def left() -> None:
            if not self.go_on.is_set():
                self.cancelled.set()

        # False: the caller is gone already.
        if not context.add_callback(left):
            left()
        self.runs.wait(30)
        self.go_on.wait(30)
        if self.slow_s:
            over.wait(self.slow_s)
        if self.error is not None:
            raise self.error
        further = request.further_queries if self.answers_further else ()
        response, *others = [self._answer(request, one) for one in (request, *further)]
        response.further_answers.extend(others)
        found = sum(len(one.hits) for one in (response, *others))
        if self.largest is not None and found > self.largest:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (2 vs. 1)"
            )
        return response

    def _answer(self, request: pb.SearchPartitionsRequest, query: pb.SearchPartitionsRequest):
        hits = self.hits
        if self.only_own is not None:
            asked, place = set(request.partition_ids), self.only_own.partition_of
            hits = [hit for hit in hits if place(hit.image_id).id in asked]
        response = pb.SearchPartitionsResponse(hits=hits[: query.k])
        if self.share is not None and query.collection_patches:
            response.more = len(response.hits) > self.share
            del response.hits[self.share :]
        for partition_id in request.partition_ids:
            result = response.partitions.add(partition_id=partition_id, patches=self.patches)
            if partition_id in self.refused:
                result.error.CopyFrom(status_proto(self.refused[partition_id]))
            elif request.epoch < self.oldest_epoch:
                result.error.CopyFrom(status_proto(self._stale()))
            elif partition_id not in self.partitions:
                gone = NotFound("PARTITION_NOT_FOUND", "not here")
                result.error.CopyFrom(status_proto(gone))
        return response

    def GetImages(self, request: pb.GetImagesRequest, context: grpc.ServicerContext):
        self.runs.wait(30)
        if self.error is not None:
            raise self.error
        stored = [i for i in request.image_ids if i in self.versions]
        return pb.GetImagesResponse(
            images=[pb.StoredImage(image_id=i, version=self.versions[i]) for i in stored]
        )

    def PutImages(self, request: pb.PutImagesRequest, context: grpc.ServicerContext):
        self.puts.append(request)
        self._check_write(request.epoch)
        applied = [self._write(image.image_id, image.version) for image in request.images]
        return pb.PutImagesResponse(
            applied=applied,
            stored_versions=[self.versions[i.image_id] for i in request.images],
            newest_version=max(self.versions.values()),
        )

    def DeleteImages(self, request: pb.DeleteImagesRequest, context: grpc.ServicerContext):
        self._check_write(request.epoch)
        deleted = [self._write(image_id, request.version) for image_id in request.image_ids]
        return pb.DeleteImagesResponse(
            deleted=deleted,
            stored_versions=[self.versions[i] for i in request.image_ids],
            newest_version=max(self.versions.values()),
        )

    def _check_write(self, epoch: int) -> None:
        self.runs.wait(30)
        self.writes_go_on.wait(30)
        if self.write_error is not None:
            raise self.write_error
        if epoch < self.oldest_epoch:
            raise self._stale()

    def _write(self, image_id: str, version: int) -> bool:
        newer = version > self.versions.get(image_id, 0)
        if newer:
            self.versions[image_id] = version
        return newer

    def _stale(self) -> FailedPrecondition:
        return FailedPrecondition(
            "STALE_PLACEMENT", "moved on", metadata={"epoch": str(self.oldest_epoch)}
        )
