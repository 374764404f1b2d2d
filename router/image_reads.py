"""Stored images, read by their ids from any replica that lives."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition, Placement, hash_of
from router.call_scope import CallScope
from router.partition_reads import PartitionReads

Response = shard_service_pb2.GetImagesResponse


class ImageReader:
    """Reads images with their patches. Thread-safe."""

    def __init__(self, reads: PartitionReads) -> None:
        self._reads = reads

    def fetch(
        self,
        image_ids: Sequence[str],
        include_vectors: bool,
        placement: Placement,
        scope: CallScope,
        reserve_s: float = 0.0,
    ) -> dict[str, shard_service_pb2.StoredImage]:
        """The images by id; those that are not stored are left out.

        Raises what the shards raise where no replica of a partition answered.
        """
        read = _ImagesRead(image_ids, include_vectors, reserve_s)
        partitions = list(dict.fromkeys(placement.partition_of(i) for i in image_ids))
        result = self._reads.run(read, partitions, placement, scope, reserve_s)
        for _, error in result.missed:
            raise error
        return {image.image_id: image for a in result.answers for image in a.response.images}


class _ImagesRead:
    grouped = False
    questions = 1

    def __init__(self, image_ids: Sequence[str], include_vectors: bool, reserve_s: float) -> None:
        self._hashes = {image_id: hash_of(image_id) for image_id in image_ids}
        self._include_vectors = include_vectors
        self._reserve_s = reserve_s

    def concerns(self, partition: Partition) -> bool:
        return bool(self._ids_of(partition))

    def start(
        self, stub: ShardServiceStub, partitions: Sequence[Partition], epoch: int, scope: CallScope
    ) -> grpc.CallFuture[Response]:
        (partition,) = partitions
        request = shard_service_pb2.GetImagesRequest(
            partition_id=partition.id,
            image_ids=self._ids_of(partition),
            include_patches=True,
            include_vectors=self._include_vectors,
            epoch=epoch,
        )
        return scope.start(stub.GetImages, request, reserve_s=self._reserve_s)

    def errors(
        self, response: Response, partitions: Sequence[Partition]
    ) -> dict[str, PatchsearchError]:
        return {}

    def _ids_of(self, partition: Partition) -> list[str]:
        start, end = partition.hash_start, partition.hash_end
        return [image_id for image_id, value in self._hashes.items() if start <= value <= end]
