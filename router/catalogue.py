"""Reading stored images, over all partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from patchsearch.errors import DeadlineExceeded, NotFound, PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition, Placement
from router.call_scope import CallScope
from router.connections import ShardConnections
from router.coverage import named
from router.image_id import abbreviated
from router.image_reads import ImageReader
from router.merge import merge_runs
from router.partition_reads import PartitionReads
from router.replica_look import Look, look_at_replicas
from router.replica_states import ReplicaStates

MAX_PAGE_SIZE = 1000
_DESCRIBE_S = 5.0
"""Longest that a shard is waited for which does not say how it is."""


@dataclass(frozen=True, slots=True)
class Page:
    """A run of images in the order of the bytes of their ids."""

    images: list[shard_service_pb2.ListedImage]
    more: bool
    """Whether another page may follow."""


class Catalogue:
    """The stored images. Thread-safe."""

    def __init__(
        self,
        shards: ShardConnections,
        states: ReplicaStates,
        reads: PartitionReads,
        images: ImageReader,
    ) -> None:
        self._shards = shards
        self._states = states
        self._reads = reads
        self._images = images

    def get(
        self, image_id: str, include_vectors: bool, placement: Placement, scope: CallScope
    ) -> shard_service_pb2.StoredImage:
        """One image with its patches; raises NotFound IMAGE_NOT_FOUND."""
        found = self._images.fetch([image_id], include_vectors, placement, scope).get(image_id)
        if found is None:
            raise NotFound(
                "IMAGE_NOT_FOUND",
                f"image {abbreviated(image_id)!r} is not stored: it never was, or it was deleted; "
                "list the images",
            )
        return found

    def list_page(
        self, after: str, prefix: str, page_size: int, placement: Placement, scope: CallScope
    ) -> Page:
        """Up to `page_size` images behind the id `after`.

        Raises Unavailable PARTITION_UNAVAILABLE when no replica of a partition answers: a listing
        with holes would not look like one.
        """
        # One more than asked for tells whether there is another page.
        each = min(page_size + 1, MAX_PAGE_SIZE)
        read = _ListRead(after, prefix, each)
        result = self._reads.run(read, placement.partitions, placement, scope)
        for partition, error in result.missed:
            if isinstance(error, Unavailable | DeadlineExceeded):
                raise _hole(partition, error) from error
            raise error
        runs: list[Sequence[shard_service_pb2.ListedImage]]
        runs = [a.response.images for a in result.answers]
        images = merge_runs(runs, page_size, lambda listed: listed.image.image_id.encode())
        full = any(len(run) == each for run in runs)
        return Page(images, more=full or sum(map(len, runs)) > len(images))

    def describe(self, placement: Placement, scope: CallScope, reserve_s: float = 0.0) -> Look:
        """The state of all replicas whose shard answers in time, of those being filled too.

        Shards that are known to fail are not waited for once the others have answered.
        """

        def enough(look: Look) -> bool:
            return all(self._states.failing(address) for address in look.errors)

        return look_at_replicas(
            self._shards, placement, scope, reserve_s, enough, at_most_s=_DESCRIBE_S
        )


class _ListRead:
    grouped = False
    questions = 1

    def __init__(self, after: str, prefix: str, page_size: int) -> None:
        self._after = after
        self._prefix = prefix
        self._page_size = page_size

    def concerns(self, partition: Partition) -> bool:
        return True

    def start(
        self, stub: ShardServiceStub, partitions: Sequence[Partition], epoch: int, scope: CallScope
    ) -> grpc.CallFuture[shard_service_pb2.ListImagesResponse]:
        (partition,) = partitions
        request = shard_service_pb2.ListImagesRequest(
            partition_id=partition.id,
            after=self._after,
            page_size=self._page_size,
            prefix=self._prefix,
            epoch=epoch,
        )
        return scope.start(stub.ListImages, request)

    def errors(
        self, response: shard_service_pb2.ListImagesResponse, partitions: Sequence[Partition]
    ) -> dict[str, PatchsearchError]:
        return {}


def _hole(partition: Partition, error: PatchsearchError) -> PatchsearchError:
    return Unavailable(
        "PARTITION_UNAVAILABLE",
        f"partition {named(partition)} did not answer, and without it the list would have holes; "
        f"try again: {error.message}",
    )
