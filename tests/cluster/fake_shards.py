"""Shards without disks or vectors, behind the real gRPC seam: ids, versions, fences, halves."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import xxhash

from patchsearch.errors import FailedPrecondition, NotFound, PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import (
    ShardServiceServicer,
    add_ShardServiceServicer_to_server,
)
from patchsearch.wire.status import status_proto
from service_runtime.server import Service, ServiceServer
from service_runtime.settings import ServiceSettings

BYTES_PER_IMAGE = 1000
PATCHES_PER_IMAGE = 10
_SPLIT_STEP = 3


def hash_of(image_id: str) -> int:
    return xxhash.xxh64(image_id.encode()).intdigest()


@dataclass
class FakePartition:
    """What a fake shard keeps of a partition."""

    id: str
    hash_start: int
    hash_end: int
    records: dict[str, tuple[int, bool]] = field(default_factory=dict)
    min_write: int = 0
    min_read: int = 0
    held: tuple[int, float] = (0, 0.0)
    """Reads of older epochs are refused until then."""
    halves: tuple[str, str] | None = None
    """Where writes are mirrored to."""
    split_upto: int = 0

    def digest(self) -> bytes:
        total = 0
        for image_id, (version, deleted) in self.records.items():
            record = f"{image_id} {version} {deleted}".encode()
            total ^= int.from_bytes(hashlib.md5(record).digest())
        return total.to_bytes(16)

    def live(self) -> set[str]:
        return {i for i, (_, deleted) in self.records.items() if not deleted}


class FakeShard(ShardServiceServicer):
    """One shard; `others` are all shards by address."""

    def __init__(self, others: dict[str, FakeShard]) -> None:
        self.partitions: dict[str, FakePartition] = {}
        self.refuse_everything = False
        self.calls: list[str] = []
        self.when_called: Callable[[str], object] = lambda method: None
        """Called with the name of each method; what it raises the call raises."""
        self.when_pulling: Callable[[], object] = lambda: None
        """Called in the middle of each pull."""
        self._others = others
        self._lock = threading.RLock()

    def hold(self, partition_id: str, start: int, end: int) -> FakePartition:
        partition = FakePartition(partition_id, start, end)
        self.partitions[partition_id] = partition
        return partition

    def write(self, partition_id: str, image_id: str, version: int, epoch: int) -> None:
        """A router's write; raises what a shard raises."""
        with self._lock:
            partition = self._partition(partition_id)
            if epoch and epoch < partition.min_write:
                raise FailedPrecondition("STALE_PLACEMENT", "reload the placement")
            self._apply(partition, image_id, (version, False))

    def read(self, partition_id: str, epoch: int) -> set[str]:
        """The images that a router's search would find."""
        with self._lock:
            partition = self._partition(partition_id)
            held, until = partition.held
            hold = held if time.monotonic() < until else 0
            if epoch and epoch < max(partition.min_read, hold):
                raise FailedPrecondition("STALE_PLACEMENT", "reload the placement")
            return partition.live()

    def DescribePartitions(
        self, request: pb.DescribePartitionsRequest, context: grpc.ServicerContext
    ):
        self._called("DescribePartitions")
        with self._lock:
            return pb.DescribePartitionsResponse(
                partitions=[
                    pb.PartitionDescription(
                        partition_id=p.id,
                        hash_start=p.hash_start,
                        hash_end=p.hash_end,
                        fingerprint="f",
                        encoder="fake",
                        dim=64,
                        images=len(p.live()),
                        patches=PATCHES_PER_IMAGE * len(p.live()),
                        digest=p.digest(),
                        disk_bytes=BYTES_PER_IMAGE * len(p.records),
                        min_write_epoch=p.min_write,
                        min_read_epoch=p.min_read,
                    )
                    for _, p in sorted(self.partitions.items())
                ]
            )

    def CreatePartition(self, request: pb.CreatePartitionRequest, context: grpc.ServicerContext):
        self._called("CreatePartition")
        created = request.partition_id not in self.partitions
        if created:
            self.hold(request.partition_id, request.hash_start, request.hash_end)
        return pb.CreatePartitionResponse(created=created)

    def SearchPartitions(self, request: pb.SearchPartitionsRequest, context: grpc.ServicerContext):
        self._called("SearchPartitions")
        response = pb.SearchPartitionsResponse()
        for partition_id in request.partition_ids:
            result = response.partitions.add(partition_id=partition_id)
            try:
                self._partition(partition_id)
            except PatchsearchError as error:
                result.error.CopyFrom(status_proto(error))
        return response

    def PullPartition(
        self, request: pb.PullPartitionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.PullPartitionResponse]:
        self._called("PullPartition")
        if request.partition_id in self.partitions:
            yield pb.PullPartitionResponse(already_held=True)
            return
        source = self._source(request.source)._partition(request.partition_id)
        copied = dict(source.records)
        total = BYTES_PER_IMAGE * len(copied)
        yield pb.PullPartitionResponse(done_bytes=total // 2, total_bytes=total)
        self.when_pulling()
        with self._lock:
            mine = self.hold(request.partition_id, source.hash_start, source.hash_end)
            mine.records = copied
        yield pb.PullPartitionResponse(done_bytes=total, total_bytes=total)

    def RepairPartition(self, request: pb.RepairPartitionRequest, context: grpc.ServicerContext):
        self._called("RepairPartition")
        source = dict(self._source(request.source)._partition(request.partition_id).records)
        answer = pb.RepairPartitionResponse()
        with self._lock:
            mine = self._partition(request.partition_id)
            for image_id, record in source.items():
                if self._apply(mine, image_id, record):
                    if record[1]:
                        answer.deletions += 1
                    else:
                        answer.images += 1
        return answer

    def FencePartition(self, request: pb.FencePartitionRequest, context: grpc.ServicerContext):
        self._called("FencePartition")
        with self._lock:
            mine = self._partition(request.partition_id)
            if request.hold_read_epoch:
                until = time.monotonic() + request.hold_read_ms / 1000
                mine.held = (request.hold_read_epoch, until)
            mine.min_write = max(mine.min_write, request.min_write_epoch)
            mine.min_read = max(mine.min_read, request.min_read_epoch)
            return pb.FencePartitionResponse(
                min_write_epoch=mine.min_write, min_read_epoch=mine.min_read
            )

    def SplitPartition(self, request: pb.SplitPartitionRequest, context: grpc.ServicerContext):
        self._called("SplitPartition")
        with self._lock:
            whole = self._partition(request.partition_id)
            names = (request.lower_partition_id, request.upper_partition_id)
            last = whole.hash_start + (whole.hash_end - whole.hash_start) // 2
            for name, start, end in zip(
                names, (whole.hash_start, last + 1), (last, whole.hash_end), strict=True
            ):
                if name not in self.partitions:
                    self.hold(name, start, end)
                    whole.split_upto = 0
            whole.halves = names
            ordered = sorted(whole.records)
            for image_id in ordered[whole.split_upto : whole.split_upto + _SPLIT_STEP]:
                self._mirror(whole, image_id, whole.records[image_id])
            whole.split_upto = min(len(ordered), whole.split_upto + _SPLIT_STEP)
            return pb.SplitPartitionResponse(
                moved_images=whole.split_upto,
                total_images=len(ordered),
                done=whole.split_upto == len(ordered),
            )

    def DropPartition(self, request: pb.DropPartitionRequest, context: grpc.ServicerContext):
        self._called("DropPartition")
        with self._lock:
            gone = self.partitions.pop(request.partition_id, None)
        return pb.DropPartitionResponse(dropped=gone is not None)

    def _apply(self, partition: FakePartition, image_id: str, record: tuple[int, bool]) -> bool:
        if partition.records.get(image_id, (0, False))[0] >= record[0]:
            return False
        partition.records[image_id] = record
        if partition.halves is not None:
            self._mirror(partition, image_id, record)
        return True

    def _mirror(self, whole: FakePartition, image_id: str, record: tuple[int, bool]) -> None:
        for name in whole.halves or ():
            half = self.partitions.get(name)
            if half is not None and half.hash_start <= hash_of(image_id) <= half.hash_end:
                self._apply(half, image_id, record)

    def _partition(self, partition_id: str) -> FakePartition:
        if self.refuse_everything:
            raise Unavailable("UNREACHABLE", "nobody is there")
        try:
            return self.partitions[partition_id]
        except KeyError:
            raise NotFound("PARTITION_NOT_FOUND", f"no partition {partition_id}") from None

    def _source(self, address: str) -> FakeShard:
        other = self._others[address]
        if other.refuse_everything:
            raise Unavailable("SOURCE_FAILED", f"{address} does not answer")
        return other

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self.when_called(method)
        if self.refuse_everything:
            raise Unavailable("UNREACHABLE", "nobody is there")


@contextmanager
def serving_fakes(count: int) -> Iterator[dict[str, FakeShard]]:
    """Fake shards by address while they serve."""
    shards: dict[str, FakeShard] = {}
    servers = []
    try:
        for _ in range(count):
            shard = FakeShard(shards)
            service = Service(
                "patchsearch.shard.v1.ShardService", shard, add_ShardServiceServicer_to_server
            )
            server = ServiceServer(ServiceSettings(drain_s=0), [service])
            server.start()
            servers.append(server)
            shards[server.address] = shard
        yield shards
    finally:
        for server in servers:
            server.stop(0)
