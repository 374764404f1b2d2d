"""What a shard does with whole replicas: send, fetch, repair, split, drop them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from patchsearch.errors import FailedPrecondition, PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from service_runtime.clients import open_channel
from service_runtime.logs import logger
from shard_service.checkpoint import Checkpoint
from shard_service.partition import Partition
from shard_service.replication.convergence import Taken, converge
from shard_service.replication.copying import Piece, pieces_of, receive
from shard_service.replication.forgetting import Forgetting, TombstoneAge
from shard_service.replication.patience import Patience, watched
from shard_service.replication.peers import Peers
from shard_service.replication.remote import Connect, RemoteReplica
from shard_service.replication.source_errors import source_errors
from shard_service.replication.splitting import Split, SplitProgress, halves
from shard_service.shard import Shard
from shard_service.store.failures import disk_errors_told

DEFAULT_KEEP_S = 168 * 3600.0

_LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Bytes that were fetched and bytes to fetch; `already_held` where nothing was to be done."""

    done_bytes: int
    total_bytes: int
    already_held: bool = False


def not_counted(taken: Taken) -> None:
    """For repairs that nobody counts."""


class Replication:
    """The replicas of one shard. Thread-safe.

    `connect` opens channels to other shards. Deletions are forgotten after `keep_s` seconds, once
    `start` was called. `repaired` is told of every batch that a repair took. `patience`
    bounds the waiting for other shards, `peers` says which of them may be named as sources.
    """

    def __init__(
        self,
        shard: Shard,
        connect: Connect = open_channel,
        *,
        keep_s: float = DEFAULT_KEEP_S,
        repaired: Callable[[Taken], None] = not_counted,
        patience: Patience | None = None,
        peers: Peers | None = None,
    ) -> None:
        self._shard = shard
        self._connect = connect
        self._age = TombstoneAge(keep_s)
        self._repaired = repaired
        self._patience = patience or Patience()
        self._peers = peers or Peers()
        self._forgetting = Forgetting(shard.partitions, self._age)
        self._lock = threading.Lock()
        self._repairs: dict[str, threading.Lock] = {}
        self._splits: dict[str, Split] = {}

    def start(self) -> None:
        """Begins to forget old deletions; call it when the shard is open."""
        self._forgetting.start()

    def close(self) -> None:
        """Ends that; call it before the shard is closed."""
        self._forgetting.close()

    def copy(self, partition_id: str, checkpoint: Checkpoint) -> Iterator[Piece]:
        """A consistent copy of a partition while writes go on; see `pieces_of`."""
        partition = self._shard.partition(partition_id)
        return pieces_of(partition, self._shard.data, checkpoint)

    def pull(
        self, partition_id: str, source: str, checkpoint: Checkpoint
    ) -> Iterator[PullProgress]:
        """Fetches a partition from the shard at `source`, checks it, and serves it.

        One that is here and serves is left as it is; one that cannot be opened is replaced, and
        kept aside. Nothing stays of a fetch that failed. `checkpoint` is called now and then and
        may raise. Raises Unavailable SOURCE_FAILED, or NOT_READY while another call works on this
        partition; ResourceExhausted DISK_FULL.
        """
        with self._shard.reserved(partition_id):
            if self._held(partition_id) is not None:
                yield PullProgress(0, 0, already_held=True)
                return
            # The source copies first, which may take a while.
            yield PullProgress(0, 0)
            staging = self._shard.staging()
            try:
                with (
                    disk_errors_told(self._shard.data, f"partition {partition_id}"),
                    self._channel(source) as channel,
                ):
                    pieces = _remote_pieces(
                        channel, source, partition_id, self._patience, checkpoint
                    )
                    incoming = receive(pieces, staging, partition_id, source)
                    done = total = 0
                    for done, total in incoming:
                        yield PullProgress(done, total)
                    self._shard.install(staging, partition_id)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        logger("shard").info("partition fetched", partition=partition_id, source=source, bytes=done)

    def repair(
        self,
        partition_id: str,
        source: str,
        left_s: Callable[[], float],
        checkpoint: Checkpoint,
    ) -> Taken:
        """Takes what is newer on the shard at `source`; durable on return. What it took in all.

        A second repair of the same partition waits for the first. `left_s` tells the seconds that
        calls may take. Raises Unavailable SOURCE_FAILED, and what writing raises; what was taken by
        then stays.
        """
        partition = self._shard.partition(partition_id)
        identity = partition.identity
        images = deletions = 0
        with self._one_repair(partition_id, checkpoint), self._channel(source) as channel:
            remote = RemoteReplica(channel, source, partition_id, left_s, self._patience.call_s)
            for taken in converge(
                partition.replica,
                remote,
                identity.hash_start,
                identity.hash_end,
                self._age.forgotten_before(),
                checkpoint,
            ):
                images += taken.images
                deletions += taken.deletions
                self._repaired(taken)
        if images or deletions:
            logger("shard").info(
                "partition repaired",
                partition=partition_id,
                source=source,
                images=images,
                deletions=deletions,
            )
        return Taken(images, deletions)

    def split(
        self, partition_id: str, lower_id: str, upper_id: str, seconds: float
    ) -> SplitProgress:
        """Works at splitting a partition for about that long; creates the halves first.

        Raises FailedPrecondition PARTITION_TOO_NARROW, SPLIT_UNDER_WAY when it is being split into
        others, PARTITION_EXISTS when they are there and are no halves; what writing raises.
        """
        parent = self._shard.partition(partition_id)
        lower, upper = halves(parent.identity, lower_id, upper_id)
        with self._lock:
            split = self._splits.get(partition_id)
            if split is not None and not split.is_of(*map(self._held, split.partition_ids)):
                # One of them was dropped, and perhaps came again.
                split.end()
                split = None
            if split is not None and split.partition_ids != (partition_id, lower_id, upper_id):
                raise FailedPrecondition(
                    "SPLIT_UNDER_WAY",
                    f"partition {partition_id} is being split into "
                    f"{' and '.join(split.partition_ids[1:])}: go on with those, or drop one first",
                )
            if split is None:
                for half in (lower, upper):
                    if self._shard.create(half):
                        self._shard.partition(half.partition_id).adopt_codebook_of(parent)
                split = Split(
                    parent,
                    self._shard.partition(lower_id),
                    self._shard.partition(upper_id),
                    self._age.forgotten_before(),
                )
                self._splits[partition_id] = split
        return split.step(seconds)

    def drop(self, partition_id: str) -> bool:
        """See `Shard.drop`; ends a split of the partition, and one that it is a half of."""
        with self._lock:
            ended = [one for one in self._splits.values() if partition_id in one.partition_ids[1:]]
        for split in ended:
            # Before the half goes, or writes to the whole would fail.
            split.end()
        dropped = self._shard.drop(partition_id)
        with self._lock:
            for parent in [partition_id, *(one.partition_ids[0] for one in ended)]:
                self._splits.pop(parent, None)
        return dropped

    def _held(self, partition_id: str) -> Partition | None:
        try:
            return self._shard.partition(partition_id)
        except PatchsearchError:
            # It is not here, or cannot be opened.
            return None

    @contextmanager
    def _channel(self, address: str) -> Iterator[grpc.Channel]:
        self._peers.check(address)
        channel = self._connect(address)
        try:
            yield channel
        finally:
            channel.close()

    @contextmanager
    def _one_repair(self, partition_id: str, checkpoint: Checkpoint) -> Iterator[None]:
        with self._lock:
            lock = self._repairs.setdefault(partition_id, threading.Lock())
        while not lock.acquire(timeout=_LOCK_POLL_S):
            checkpoint()
        try:
            yield
        finally:
            lock.release()


def _remote_pieces(
    channel: grpc.Channel,
    source: str,
    partition_id: str,
    patience: Patience,
    checkpoint: Checkpoint,
) -> Iterator[Piece]:
    call: Any = ShardServiceStub(channel).CopyPartition(
        pb.CopyPartitionRequest(partition_id=partition_id)
    )
    with source_errors(source):
        for message in watched(call, source, patience, checkpoint):
            yield Piece(message.path, message.offset, message.data, message.total_bytes)
