"""Calls to shards: typed errors, no messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import numpy as np

from patchsearch.errors import PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.channel import error_of_call
from patchsearch.wire.security import ChannelSecurity
from patchsearch.wire.vectors import vector_to_proto
from service_runtime.clients import open_channel

_QUICK_S = 30.0
_LONG_S = 24 * 3600.0
_WARM_K = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HeldPartition:
    """A partition as the shard that holds it tells it."""

    id: str
    hash_start: int
    hash_end: int
    fingerprint: str
    encoder: str
    dim: int
    images: int
    patches: int
    damaged_images: int
    tombstones: int
    disk_bytes: int
    digest: bytes
    min_write_epoch: int
    min_read_epoch: int
    activity: str


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """What a snapshot holds."""

    files: int
    bytes: int
    images: int
    patches: int


class Shards:
    """Stubs by address, opened when first needed. Thread-safe.

    Calls raise the errors of `patchsearch.errors`: Unavailable UNREACHABLE where nobody answers,
    and what the shard raises. They carry no epoch: operations are not bound by a placement.
    """

    def __init__(self, open_channel: Callable[[str], grpc.Channel]) -> None:
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}

    def describe(self, address: str) -> list[HeldPartition]:
        """All that a shard holds, by id."""
        answer = _answer(
            address,
            _QUICK_S,
            lambda t: self._stub(address).DescribePartitions(
                pb.DescribePartitionsRequest(), timeout=t
            ),
        )
        return [_held(one) for one in answer.partitions]

    def create(self, address: str, like: HeldPartition) -> bool:
        """Creates an empty partition of that id, range and encoder; False where it is there."""
        request = pb.CreatePartitionRequest(
            partition_id=like.id,
            hash_start=like.hash_start,
            hash_end=like.hash_end,
            fingerprint=like.fingerprint,
            encoder=like.encoder,
            dim=like.dim,
        )
        stub = self._stub(address)
        return _answer(
            address, _QUICK_S, lambda t: stub.CreatePartition(request, timeout=t)
        ).created

    def pull(
        self, address: str, partition_id: str, source: str, progress: Callable[[int, int], None]
    ) -> bool:
        """Has a shard fetch a partition from another one; False where it held it already.

        `progress` gets bytes done and bytes in all; what it raises ends the call.
        """
        request = pb.PullPartitionRequest(partition_id=partition_id, source=source)

        def fetch(timeout_s: float) -> bool:
            call = self._stub(address).PullPartition(request, timeout=timeout_s)
            fetched = True
            try:
                for told in call:
                    fetched = not told.already_held
                    progress(told.done_bytes, told.total_bytes)
            finally:
                call.cancel()  # type: ignore[no-untyped-call]
            return fetched

        return _answer(address, _LONG_S, fetch)

    def repair(self, address: str, partition_id: str, source: str) -> tuple[int, int]:
        """Has a shard fetch what is newer on another one; returns images and deletions."""
        request = pb.RepairPartitionRequest(partition_id=partition_id, source=source)
        stub = self._stub(address)
        answer = _answer(address, _LONG_S, lambda t: stub.RepairPartition(request, timeout=t))
        return answer.images, answer.deletions

    def digest(self, address: str, partition_id: str) -> bytes:
        """The digest of a whole partition, 16 bytes."""
        request = pb.DigestPartitionRequest(partition_id=partition_id, parts=1)
        stub = self._stub(address)
        answer = _answer(address, _QUICK_S, lambda t: stub.DigestPartition(request, timeout=t))
        return answer.ranges[0].digest

    def fence(self, address: str, partition_id: str, *, writes: int = 0, reads: int = 0) -> None:
        """Has a shard refuse older placements for a partition, durably."""
        request = pb.FencePartitionRequest(
            partition_id=partition_id, min_write_epoch=writes, min_read_epoch=reads
        )
        stub = self._stub(address)
        _answer(address, _QUICK_S, lambda t: stub.FencePartition(request, timeout=t))

    def hold_reads(self, address: str, partition_id: str, epoch: int, seconds: float) -> None:
        """Has a shard refuse reads of older epochs for so long, or until it restarts."""
        request = pb.FencePartitionRequest(
            partition_id=partition_id, hold_read_epoch=epoch, hold_read_ms=int(seconds * 1000)
        )
        stub = self._stub(address)
        _answer(address, _QUICK_S, lambda t: stub.FencePartition(request, timeout=t))

    def split(
        self, address: str, partition_id: str, lower: str, upper: str
    ) -> tuple[int, int, bool]:
        """One step of a split: images moved, images in all, whether it is done."""
        request = pb.SplitPartitionRequest(
            partition_id=partition_id, lower_partition_id=lower, upper_partition_id=upper
        )
        stub = self._stub(address)
        answer = _answer(address, _LONG_S, lambda t: stub.SplitPartition(request, timeout=t))
        return answer.moved_images, answer.total_images, answer.done

    def drop(self, address: str, partition_id: str) -> bool:
        """Has a shard delete a partition; False where it has none."""
        request = pb.DropPartitionRequest(partition_id=partition_id)
        stub = self._stub(address)
        return _answer(address, _LONG_S, lambda t: stub.DropPartition(request, timeout=t)).dropped

    def snapshot(self, address: str, partition_id: str, destination: str) -> SnapshotTaken:
        """Has a shard write a snapshot of a partition to a place that it sees."""
        request = pb.SnapshotPartitionRequest(partition_id=partition_id, destination=destination)
        stub = self._stub(address)
        answer = _answer(address, _LONG_S, lambda t: stub.SnapshotPartition(request, timeout=t))
        return SnapshotTaken(answer.files, answer.bytes, answer.images, answer.patches)

    def warm(self, address: str, held: HeldPartition, searches: int) -> None:
        """Searches a partition a few times, so that its first real search is no slower than the
        others; what fails is left for the real ones to tell."""
        numbers = np.random.default_rng(0)
        for _ in range(searches):
            vector = numbers.standard_normal(held.dim).astype(np.float32)
            request = pb.SearchPartitionsRequest(
                partition_ids=[held.id],
                vector=vector_to_proto(vector / np.linalg.norm(vector), held.fingerprint),
                k=_WARM_K,
            )
            stub = self._stub(address)
            try:
                _answer(address, _QUICK_S, lambda t: stub.SearchPartitions(request, timeout=t))  # noqa: B023
            except PatchsearchError:
                return

    def close(self) -> None:
        """Closes every channel; calls under way are cancelled."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def _stub(self, address: str) -> ShardServiceStub:
        with self._lock:
            channel = self._channels.get(address)
            if channel is None:
                channel = self._channels[address] = self._open_channel(address)
        return ShardServiceStub(channel)


def connect_shards(security: ChannelSecurity | None = None) -> Shards:
    """Connections with the retries and limits of the services' own."""
    return Shards(lambda address: open_channel(address, security=security))


def _answer(address: str, timeout_s: float, call: Callable[[float], T]) -> T:
    try:
        return call(timeout_s)
    except grpc.RpcError as error:
        typed = error_of_call(error, address, timeout_s)
        if typed.reason == "UNREACHABLE":
            raise Unavailable(
                "UNREACHABLE",
                f"no shard answers at {address}; start it, or mend its address in the placement",
                metadata={"address": address},
            ) from error
        raise typed from error


def _held(one: pb.PartitionDescription) -> HeldPartition:
    return HeldPartition(
        id=one.partition_id,
        hash_start=one.hash_start,
        hash_end=one.hash_end,
        fingerprint=one.fingerprint,
        encoder=one.encoder,
        dim=one.dim,
        images=one.images,
        patches=one.patches,
        damaged_images=one.damaged_images,
        tombstones=one.tombstones,
        disk_bytes=one.disk_bytes,
        digest=one.digest,
        min_write_epoch=one.min_write_epoch,
        min_read_epoch=one.min_read_epoch,
        activity=one.activity,
    )
