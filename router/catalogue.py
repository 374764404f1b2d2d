"""Reading and deleting stored images, over all partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patchsearch.errors import DeadlineExceeded, NotFound, PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from router.call_scope import CallScope, answer
from router.connections import ShardConnections
from router.image_id import abbreviated
from router.merge import merge_runs
from router.placement import Partition, Placement

MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """A run of images in the order of the bytes of their ids."""

    images: list[shard_service_pb2.ListedImage]
    more: bool
    """Whether another page may follow."""


class Catalogue:
    """The stored images. Thread-safe."""

    def __init__(self, shards: ShardConnections) -> None:
        self._shards = shards

    def get(
        self, image_id: str, include_vectors: bool, placement: Placement, scope: CallScope
    ) -> shard_service_pb2.StoredImage:
        """One image with its patches; raises NotFound IMAGE_NOT_FOUND."""
        partition = placement.partition_of(image_id)
        request = shard_service_pb2.GetImagesRequest(
            partition_id=partition.id,
            image_ids=[image_id],
            include_patches=True,
            include_vectors=include_vectors,
        )
        images = scope.call(self._shards.stub(partition.address).GetImages, request).images
        if not images:
            raise NotFound(
                "IMAGE_NOT_FOUND",
                f"image {abbreviated(image_id)!r} is not stored: it never was, or it was deleted; "
                "list the images",
            )
        return images[0]

    def list_page(
        self, after: str, prefix: str, page_size: int, placement: Placement, scope: CallScope
    ) -> Page:
        """Up to `page_size` images behind the id `after`.

        Raises Unavailable PARTITION_UNAVAILABLE when a partition does not answer: a listing with
        holes would not look like one.
        """
        # One more than asked for tells whether there is another page.
        each = min(page_size + 1, MAX_PAGE_SIZE)
        asked = []
        for partition in placement.partitions:
            request = shard_service_pb2.ListImagesRequest(
                partition_id=partition.id, after=after, page_size=each, prefix=prefix
            )
            stub = self._shards.stub(partition.address)
            asked.append((partition, scope.start(stub.ListImages, request)))
        runs: list[Sequence[shard_service_pb2.ListedImage]] = []
        for partition, call in asked:
            try:
                runs.append(answer(call).images)
            except (Unavailable, DeadlineExceeded) as error:
                raise _hole(partition, error) from error
        images = merge_runs(runs, page_size, lambda listed: listed.image.image_id.encode())
        full = any(len(run) == each for run in runs)
        return Page(images, more=full or sum(map(len, runs)) > len(images))

    def delete(
        self, image_ids: Sequence[str], version: int, placement: Placement, scope: CallScope
    ) -> list[str]:
        """Deletes images as of `version`; returns the ids that were stored, in the order given.

        A partition that fails makes the call fail; what others deleted stays deleted, and the same
        call again is safe. Raises what the shards raise.
        """
        unique = list(dict.fromkeys(image_ids))
        grouped: dict[Partition, list[str]] = {}
        for image_id in unique:
            grouped.setdefault(placement.partition_of(image_id), []).append(image_id)
        asked = []
        for partition, ids in grouped.items():
            request = shard_service_pb2.DeleteImagesRequest(
                partition_id=partition.id, image_ids=ids, version=version
            )
            stub = self._shards.stub(partition.address)
            asked.append((ids, scope.start(stub.DeleteImages, request)))
        deleted: set[str] = set()
        failure: PatchsearchError | None = None
        for ids, call in asked:
            try:
                flags = answer(call).deleted
            except PatchsearchError as error:
                failure = error
            else:
                deleted.update(i for i, gone in zip(ids, flags, strict=True) if gone)
        if failure is not None:
            raise failure
        return [image_id for image_id in unique if image_id in deleted]

    def describe(
        self, placement: Placement, scope: CallScope, reserve_s: float
    ) -> dict[str, shard_service_pb2.PartitionDescription]:
        """The state of partitions by id; those whose shard did not answer are left out."""
        request = shard_service_pb2.DescribePartitionsRequest()
        asked = []
        for address, partitions in placement.by_address().items():
            stub = self._shards.stub(address)
            call = scope.start(stub.DescribePartitions, request, reserve_s=reserve_s)
            asked.append(({p.id for p in partitions}, call))
        found: dict[str, shard_service_pb2.PartitionDescription] = {}
        for own, call in asked:
            try:
                told = answer(call).partitions
            except PatchsearchError:
                continue
            found.update((d.partition_id, d) for d in told if d.partition_id in own)
        return found


def _hole(partition: Partition, error: PatchsearchError) -> PatchsearchError:
    return Unavailable(
        "PARTITION_UNAVAILABLE",
        f"partition {partition.id} on {partition.shard} ({partition.address}) did not answer, and "
        f"without it the list would have holes; try again: {error.message}",
    )
