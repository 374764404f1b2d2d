"""A client of shards that keeps to the placement as routers do."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from cluster.founding import EncoderIdentity
from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.v1.search_service_pb2 import Patch
from patchsearch.v1.types_pb2 import Box
from patchsearch.wire.status import error_from_rpc, error_from_status
from patchsearch.wire.vectors import matrix_to_proto, vector_to_proto
from placement.document import Partition, Placement, load_placement
from service_runtime.clients import open_channel

DIM = 64
ENCODER = EncoderIdentity("fake", "f" * 32, DIM)
TIMEOUT_S = 30.0
PATIENCE_S = 2.0
"""How long a router waits for a newer placement."""
T = TypeVar("T")

STALE = ("STALE_PLACEMENT", "PARTITION_NOT_FOUND")


def units(count: int, seed: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    unit: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def stored_image(image_id: str, version: int, seed: int, patches: int = 2) -> pb.StoredImage:
    return pb.StoredImage(
        image_id=image_id,
        version=version,
        uri=f"file:///{image_id}",
        width=4000,
        height=1000,
        selection="fake",
        patches=[
            Patch(box=Box(x=200 * i, y=0, w=100, h=100), level=1, selection_score=0.5)
            for i in range(patches)
        ],
        vectors=matrix_to_proto(units(patches, seed), ENCODER.fingerprint, "float16"),
    )


class PlacedClient:
    """Writes and searches by the placement file; what is refused as stale it asks again."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._chance = random.Random(seed)
        self._version = 0
        self.acknowledged: dict[str, int] = {}

    def put(self, image_ids: Sequence[str], patches: int = 2, seed: int | None = None) -> None:
        """Writes images, each to all replicas of its partition, and to those that join."""
        for image_id in image_ids:
            self._version += 1
            chosen = zlib.crc32(image_id.encode()) if seed is None else seed
            image = stored_image(image_id, self._version, chosen, patches)
            self._again(lambda placement, image=image: self._put(placement, image))  # type: ignore[misc]
            self.acknowledged[image_id] = self._version

    def fill(self, image_ids: Sequence[str], patches: int, batch: int) -> None:
        """Writes many images in batches, while nothing changes the placement."""
        placement = load_placement(self._path)
        groups: dict[Partition, list[pb.StoredImage]] = {}
        for image_id in image_ids:
            self._version += 1
            self.acknowledged[image_id] = self._version
            group = groups.setdefault(placement.partition_of(image_id), [])
            seed = zlib.crc32(image_id.encode())
            group.append(stored_image(image_id, self._version, seed, patches))
            if len(group) == batch:
                self._put_all(placement, groups.pop(placement.partition_of(image_id)))
        for group in groups.values():
            self._put_all(placement, group)

    def search(self, vector: NDArray[np.float32], k: int = 10) -> list[tuple[float, str, int]]:
        """The best hits over one replica of each partition: score, image, x of the box."""
        return self._again(lambda placement: self._search(placement, vector, k))

    def image_ids(self, shard: str, partition_id: str) -> dict[str, int]:
        """What a shard holds of a partition: versions by image."""
        stub = self._stub(load_placement(self._path).shards[shard])
        found: dict[str, int] = {}
        after = ""
        while True:
            answer = stub.ListImages(
                pb.ListImagesRequest(partition_id=partition_id, after=after, page_size=1000),
                timeout=TIMEOUT_S,
            )
            found.update((one.image.image_id, one.image.version) for one in answer.images)
            if len(answer.images) < 1000:
                return found
            after = answer.images[-1].image.image_id

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def _put(self, placement: Placement, image: pb.StoredImage) -> None:
        self._put_all(placement, [image])

    def _put_all(self, placement: Placement, images: Sequence[pb.StoredImage]) -> None:
        """Images of one partition."""
        partition = placement.partition_of(images[0].image_id)
        request = pb.PutImagesRequest(
            partition_id=partition.id, images=images, epoch=placement.epoch
        )
        calls = [
            (replica, self._stub(replica.address).PutImages.future(request, timeout=TIMEOUT_S))
            for replica in partition.written
        ]
        for replica, call in calls:
            try:
                call.result()
            except grpc.RpcError:
                if replica in partition.replicas:
                    raise

    def _search(
        self, placement: Placement, vector: NDArray[np.float32], k: int
    ) -> list[tuple[float, str, int]]:
        hits: list[tuple[float, str, int]] = []
        for partition in placement.partitions:
            replica = self._chance.choice(partition.replicas)
            answer = self._stub(replica.address).SearchPartitions(
                pb.SearchPartitionsRequest(
                    partition_ids=[partition.id],
                    vector=vector_to_proto(vector, ENCODER.fingerprint),
                    k=k,
                    epoch=placement.epoch,
                ),
                timeout=TIMEOUT_S,
            )
            for result in answer.partitions:
                if result.HasField("error"):
                    raise error_from_status(result.error)
            hits += [(-hit.score, hit.image_id, hit.box.x) for hit in answer.hits]
        return sorted(hits)[:k]

    def _again(self, ask: Callable[[Placement], T]) -> T:
        for attempt in range(3):
            placement = load_placement(self._path)
            try:
                return ask(placement)
            except grpc.RpcError as error:
                refused = error_from_rpc(error)
            except PatchsearchError as error:
                refused = error
            if refused.reason not in STALE or attempt == 2:
                raise refused
            self._wait_for(refused.metadata.get("epoch", ""))
        raise AssertionError("unreachable")

    def _wait_for(self, epoch: str) -> None:
        """As routers do: a shard may name the next epoch a moment before it is published."""
        until = time.monotonic() + PATIENCE_S
        while epoch.isdecimal() and load_placement(self._path).epoch < int(epoch):
            if time.monotonic() > until:
                return
            time.sleep(0.005)

    def _stub(self, address: str) -> ShardServiceStub:
        with self._lock:
            if address not in self._channels:
                self._channels[address] = open_channel(address)
            return ShardServiceStub(self._channels[address])
