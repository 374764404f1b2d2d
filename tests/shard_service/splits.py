"""Splits p0 into low and high, and compares what they hold."""

from __future__ import annotations

from pathlib import Path

from patchsearch.shard.v1 import shard_service_pb2 as pb
from shard_service.replication.digests import hash_of
from tests.shard_service.replica_shards import RunningShard, records

MIDDLE = (1 << 63) - 1
SPLIT = pb.SplitPartitionRequest(
    partition_id="p0", lower_partition_id="low", upper_partition_id="high"
)


def split(one: RunningShard) -> list[pb.SplitPartitionResponse]:
    """Calls until it is done."""
    answers = [one.stub.SplitPartition(SPLIT, timeout=60)]
    while not answers[-1].done:
        answers.append(one.stub.SplitPartition(SPLIT, timeout=60))
    return answers


def halves_hold_everything(data: Path) -> None:
    whole = records(data / "partitions/p0")
    low, high = (records(data / "partitions" / name) for name in ("low", "high"))
    assert {key for key in low if hash_of(key) > MIDDLE} == set()
    assert {key for key in high if hash_of(key) <= MIDDLE} == set()
    assert {**low, **high} == whole
