"""Shards with real servers, and what their partitions hold, record by record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import lmdb
import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.replication.operations import DEFAULT_KEEP_S, Replication
from shard_service.replication.patience import Patience
from shard_service.replication.peers import Peers
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.store.records import decode_image, encode_image, sequence_key
from shard_service.versions import VersionWatch
from tests.shard_service.material import (
    FINGERPRINT,
    IDENTITY,
    OPTIONS,
    photo,
    row_of_boxes,
    units,
)


class RunningShard:
    """A shard that serves on a free port; `partition` is what it holds as p0."""

    def __init__(
        self,
        shard: Shard,
        replication: Replication,
        server: ServiceServer,
        stub: ShardServiceStub,
    ) -> None:
        self.shard = shard
        self.replication = replication
        self.address = server.address
        self.stub = stub
        self.data = shard.data

    @property
    def partition(self) -> Partition:
        return self.shard.partition("p0")

    def repair_from(self, other: RunningShard, partition_id: str = "p0") -> tuple[int, int]:
        request = pb.RepairPartitionRequest(partition_id=partition_id, source=other.address)
        answer = self.stub.RepairPartition(request, timeout=60)
        return answer.images, answer.deletions

    def pull_from(self, other: RunningShard, partition_id: str = "p0") -> Any:
        request = pb.PullPartitionRequest(partition_id=partition_id, source=other.address)
        return list(self.stub.PullPartition(request, timeout=60))

    def digest(self, partition_id: str = "p0") -> bytes:
        request = pb.DescribePartitionsRequest(partition_ids=[partition_id])
        return bytes(self.stub.DescribePartitions(request).partitions[0].digest)


@contextmanager
def running(
    data: Path,
    options: PartitionOptions = OPTIONS,
    *,
    create: bool = True,
    keep_s: float = DEFAULT_KEEP_S,
    connect: Callable[[str], grpc.Channel] = open_channel,
    versions: VersionWatch | None = None,
    patience: Patience | None = None,
    peers: Peers | None = None,
) -> Iterator[RunningShard]:
    """A shard on `data` with partition p0, which is created where that is asked."""
    shard = Shard(data, options)
    shard.open()
    if create:
        shard.create(IDENTITY)
    settings = ShardSettings(data=data, port=0, log_level="error", drain_s=0)
    replication = Replication(shard, connect, keep_s=keep_s, patience=patience, peers=peers)
    replication.start()
    try:
        with ServiceServer(settings, [shard_service(shard, (), replication, versions)]) as server:
            channel = open_channel(server.address, max_attempts=1)
            yield RunningShard(shard, replication, server, ShardServiceStub(channel))
            channel.close()
    finally:
        replication.close()
        shard.close()


def refusal(call: Any, request: Any) -> tuple[str, str]:
    """Code and reason of a call that must fail, unary or streaming."""
    with pytest.raises(grpc.RpcError) as raised:
        answer = call(request, timeout=60)
        if isinstance(answer, grpc.Call):
            list(answer)
    error = error_from_rpc(raised.value)
    return error.code, error.reason


def records(directory: Path) -> dict[bytes, tuple[bytes, list[bytes]]]:
    """Every image record of a closed or open partition, with its patch records, as bytes.

    The sequence of the first patch, which is each replica's own, reads as 0.
    """
    found: dict[bytes, tuple[bytes, list[bytes]]] = {}
    # A copy, since LMDB opens a store once in a process; nobody writes now.
    copy = directory / ".records"
    copy.mkdir()
    shutil.copyfile(directory / "lmdb/data.mdb", copy / "data.mdb")
    env = lmdb.open(str(copy), readonly=True, lock=False, max_dbs=4, create=False)
    try:
        images, patches = env.open_db(b"images"), env.open_db(b"patches")
        with env.begin() as txn, txn.cursor(db=images) as cursor:
            for key, record in cursor:
                stored = decode_image(key, record)
                if stored is None:
                    found[key] = (record, [])
                    continue
                first = stored.first_sequence
                keys = map(sequence_key, range(first, first + stored.patch_count))
                rows = [txn.get(one, db=patches) for one in keys]
                plain = encode_image(stored.image, 0, stored.patch_count)
                found[key] = (plain, rows)
    finally:
        env.close()
        shutil.rmtree(copy)
    return found


def fill(one: RunningShard, rng: np.random.Generator, count: int = 120, prefix: str = "i") -> None:
    """Writes images of five patches each, named prefix0, prefix1, ..."""
    writes = [
        photo(f"{prefix}{n}", row_of_boxes(5), units(rng, 5), version=10 + n) for n in range(count)
    ]
    one.partition.put(writes, FINGERPRINT)


def now_version() -> int:
    """A version as a router's clock would give it now."""
    return int(time.time() * 1000) << 16


def other_range(low: int, high: int) -> Any:
    """The identity of the tests, of a part of the hashes."""
    return replace(IDENTITY, hash_start=low, hash_end=high)
