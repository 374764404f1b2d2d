"""Writes to partitions: by placement, with versions that win, to all replicas."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from patchsearch.errors import PatchsearchError, Unavailable
from patchsearch.shard.v1 import shard_service_pb2
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from placement.document import Partition, Placement
from placement.watch import PlacementWatch
from router.call_scope import CallScope
from router.clock import HybridLogicalClock
from router.consistency import Consistency
from router.metrics import RouterMetrics
from router.replica_write import Acknowledged, Mutation, ReplicaWrite, Senders
from router.stale_placement import PARTITION_NOT_FOUND, STALE_PLACEMENT, epoch_wanted, for_callers

_RELOAD_S = 2.0
_MOST_ROUNDS = 6
"""How often a write is made newer: every time another router was ahead again."""


@dataclass(slots=True)
class WriteResult:
    """What a write did."""

    changed: set[str] = field(default_factory=set)
    """Ids for which a replica that was waited for had something else before."""
    superseded: set[str] = field(default_factory=set)
    """Ids of which this router has stored a later write already."""


@dataclass(slots=True, eq=False)
class _Round:
    """One partition's share of a write."""

    partition: Partition
    image_ids: list[str]
    version: int
    epoch: int
    reloads: int
    rounds: int
    sent: ReplicaWrite


class ReplicatedWriter:
    """Writes images and deletions to all replicas of their partitions. Thread-safe."""

    def __init__(
        self,
        senders: Senders,
        placements: PlacementWatch,
        clock: HybridLogicalClock,
        metrics: RouterMetrics,
    ) -> None:
        self._senders = senders
        self._placements = placements
        self._clock = clock
        self._metrics = metrics

    def put(
        self,
        image: shard_service_pb2.StoredImage,
        consistency: Consistency,
        placement: Placement,
        scope: CallScope,
    ) -> bool:
        """Stores an image with its vectors; returns whether it is what is stored now, and not a
        later write of this router.

        `image.version` comes from the clock. Where another router stored a newer version, the image
        gets a still newer one: it is the later write, whatever the clocks say. Raises what
        `ReplicaWrite.wait` raises; a placement that is stale is loaded anew, once.
        """
        result = self._write(
            _Put(image), [image.image_id], image.version, consistency, placement, scope
        )
        return not result.superseded

    def delete(
        self,
        image_ids: Sequence[str],
        consistency: Consistency,
        placement: Placement,
        scope: CallScope,
    ) -> list[str]:
        """Deletes images; returns the ids that were stored, in the order given.

        A partition that fails makes the call fail; what others deleted stays deleted, and the same
        call again is safe. Raises like `put`.
        """
        unique = list(dict.fromkeys(image_ids))
        result = self._write(_Delete(), unique, self._clock.now(), consistency, placement, scope)
        return [image_id for image_id in unique if image_id in result.changed]

    def _write(
        self,
        mutation: Mutation,
        image_ids: Sequence[str],
        first: int,
        consistency: Consistency,
        placement: Placement,
        scope: CallScope,
    ) -> WriteResult:
        def send(
            ids: Sequence[str], version: int, placement: Placement, reloads: int, rounds: int
        ) -> list[_Round]:
            return self._send(mutation, ids, version, consistency, placement, reloads, rounds)

        result = WriteResult()
        failure: PatchsearchError | None = None
        under_way = deque(send(image_ids, first, placement, 0, 0))
        while under_way:
            one = under_way.popleft()
            try:
                told = one.sent.wait(scope)
                overtaken = self._overtaken(one, told, first, result)
                if overtaken:
                    version = self._clock.again(first)
                    newest = self._placements.current
                    under_way += send(overtaken, version, newest, one.reloads, one.rounds + 1)
                else:
                    self._metrics.wrote(consistency.value, "acknowledged")
                    self._follow(one, mutation, first, consistency)
            except PatchsearchError as error:
                if error.reason in (STALE_PLACEMENT, PARTITION_NOT_FOUND) and not one.reloads:
                    self._metrics.stale_placement("write")
                    wait_s = min(_RELOAD_S, scope.remaining_s())
                    newest = self._placements.reload(epoch_wanted(error, one.epoch), wait_s)
                    under_way += send(one.image_ids, one.version, newest, 1, one.rounds)
                    continue
                failure = for_callers(error, one.partition.id, "WRITE_NOT_ACKNOWLEDGED")
                late = isinstance(failure, Unavailable)
                self._metrics.wrote(consistency.value, "not_acknowledged" if late else "refused")
        if failure is not None:
            raise failure
        return result

    def _send(
        self,
        mutation: Mutation,
        image_ids: Sequence[str],
        version: int,
        consistency: Consistency,
        placement: Placement,
        reloads: int,
        rounds: int,
    ) -> list[_Round]:
        return [
            _Round(
                partition,
                own,
                version,
                placement.epoch,
                reloads,
                rounds,
                self._senders.send(
                    mutation,
                    partition,
                    own,
                    version,
                    placement.epoch,
                    consistency.needed(len(partition.replicas)),
                ),
            )
            for partition, own in _by_partition(image_ids, placement)
        ]

    def _follow(
        self, one: _Round, mutation: Mutation, first: int, consistency: Consistency
    ) -> None:
        """Sees to replicas that answer after the acknowledgement.

        One of them may hold an earlier write of a router whose clock is ahead, which would win over
        this one when the replicas are made equal: then this one is made newer, as it would have
        been had that replica been waited for. What fails is tried no further.
        """

        def late(newest: Sequence[int]) -> None:
            unknown = [0] * len(one.image_ids)
            told = Acknowledged([False] * len(one.image_ids), list(newest) or unknown)
            again = self._overtaken(one, told, first, WriteResult())
            if again:
                version = self._clock.again(first)
                rounds = one.rounds + 1
                for sent in self._send(
                    mutation, again, version, consistency, self._placements.current, 1, rounds
                ):
                    self._follow(sent, mutation, first, consistency)

        one.sent.leave_to(late)

    def _overtaken(
        self, one: _Round, told: Acknowledged, first: int, result: WriteResult
    ) -> list[str]:
        """The ids of which another router has a newer version, and which are to be sent again."""
        again = []
        for image_id, flag, newest in zip(one.image_ids, told.flags, told.newest, strict=True):
            if flag:
                result.changed.add(image_id)
            if newest <= one.version:
                continue
            stored_first = self._clock.first_version(newest)
            if stored_first is not None and stored_first >= first:
                if stored_first > first:
                    result.superseded.add(image_id)
                continue
            # Its own earlier write may have been made newer than this one: that one is no later.
            self._clock.observe(newest)
            again.append(image_id)
        if again and one.rounds >= _MOST_ROUNDS:
            raise Unavailable(
                "WRITE_NOT_ACKNOWLEDGED",
                f"other routers wrote the same image {_MOST_ROUNDS} times meanwhile; send it again",
            )
        return again


class _Put:
    def __init__(self, image: shard_service_pb2.StoredImage) -> None:
        self._request = shard_service_pb2.PutImagesRequest(images=[image])
        self._lock = threading.Lock()

    def start(
        self,
        stub: ShardServiceStub,
        partition_id: str,
        image_ids: Sequence[str],
        version: int,
        epoch: int,
        timeout_s: float,
    ) -> grpc.CallFuture[Any]:
        # The message is serialised at once, so that the next call can reuse it.
        with self._lock:
            self._request.partition_id = partition_id
            self._request.epoch = epoch
            self._request.images[0].version = version
            return stub.PutImages.future(self._request, timeout=timeout_s)

    def flags(self, response: shard_service_pb2.PutImagesResponse) -> Sequence[bool]:
        return response.applied


class _Delete:
    def start(
        self,
        stub: ShardServiceStub,
        partition_id: str,
        image_ids: Sequence[str],
        version: int,
        epoch: int,
        timeout_s: float,
    ) -> grpc.CallFuture[Any]:
        request = shard_service_pb2.DeleteImagesRequest(
            partition_id=partition_id, image_ids=image_ids, version=version, epoch=epoch
        )
        return stub.DeleteImages.future(request, timeout=timeout_s)

    def flags(self, response: shard_service_pb2.DeleteImagesResponse) -> Sequence[bool]:
        return response.deleted


def _by_partition(
    image_ids: Sequence[str], placement: Placement
) -> list[tuple[Partition, list[str]]]:
    grouped: dict[str, tuple[Partition, list[str]]] = {}
    for image_id in image_ids:
        partition = placement.partition_of(image_id)
        grouped.setdefault(partition.id, (partition, []))[1].append(image_id)
    return list(grouped.values())
