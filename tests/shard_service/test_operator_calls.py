"""What operators ask a shard for, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.snapshots.restoring import restore_snapshot
from tests.shard_service.material import (
    FINGERPRINT,
    IDENTITY,
    OPTIONS,
    photo,
    row_of_boxes,
    units,
)


class Served(NamedTuple):
    stub: ShardServiceStub
    partition: Partition
    data: Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    data = tmp_path / "data"
    options = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)
    shard = Shard(data, options)
    shard.open()
    shard.create(IDENTITY)
    settings = ShardSettings(data=data, port=0, log_level="error")
    roots = [str(data / "snapshots"), "memory://allowed"]
    with ServiceServer(settings, [shard_service(shard, roots)]) as server:
        channel = open_channel(server.address, max_attempts=1)
        yield Served(ShardServiceStub(channel), shard.partition("p0"), data)
        channel.close()
    shard.close()


def fill(partition: Partition, rng: np.random.Generator, prefix: str, images: int = 80) -> None:
    writes = [photo(f"{prefix}{n}", row_of_boxes(5), units(rng, 5)) for n in range(images)]
    partition.put(writes, FINGERPRINT)


def refused(call: Any, request: Any, **values: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, **values)
    error = error_from_rpc(raised.value)
    return error.code, error.reason


def described(served: Served) -> pb.PartitionDescription:
    return served.stub.DescribePartitions(pb.DescribePartitionsRequest()).partitions[0]


def test_compacting(served: Served, rng: np.random.Generator) -> None:
    request = pb.CompactPartitionRequest(partition_id="p0")
    fill(served.partition, rng, "small", images=4)
    assert refused(served.stub.CompactPartition, request) == (
        "FAILED_PRECONDITION",
        "PARTITION_TOO_SMALL",
    )
    for prefix in "ab":
        fill(served.partition, rng, prefix)
        served.partition.seal()
    served.partition.delete(["a1"], 5)
    assert described(served).deleted_patches == 5
    answer = served.stub.CompactPartition(request)
    assert (answer.dropped_rows, answer.merged_segments) == (5, 2)
    state = described(served)
    assert (state.sealed_segments, state.deleted_patches, state.growing_patches) == (1, 0, 0)
    assert state.codebook != "" and state.profile == "graph"
    gone = pb.CompactPartitionRequest(partition_id="gone")
    assert refused(served.stub.CompactPartition, gone)[1] == "PARTITION_NOT_FOUND"


def test_snapshots_go_where_they_may(served: Served, rng: np.random.Generator) -> None:
    fill(served.partition, rng, "a")
    served.partition.seal()

    def to(destination: str) -> pb.SnapshotPartitionRequest:
        return pb.SnapshotPartitionRequest(partition_id="p0", destination=destination)

    root = served.data / "snapshots"
    for bad in (
        "",
        "p0",
        "snapshots/p0",
        str(root),
        f"{root}/../p0",
        f"{root}-other/p0",
        str(served.data / "partitions" / "p1"),
        "memory://other/p0",
        "memory://allowed/../other/p0",
        "memory://allowed-too/p0",
        f"memory://allowed/p0::file://{served.data}/p0",
        f"file://{root}/p0",
    ):
        assert refused(served.stub.SnapshotPartition, to(bad)) == (
            "INVALID_ARGUMENT",
            "DESTINATION_INVALID",
        ), bad
    assert not root.exists()
    answer = served.stub.SnapshotPartition(to(f"{root}/monday/p0"))
    files = [path for path in (root / "monday/p0").rglob("*") if path.is_file()]
    assert (answer.images, answer.patches, answer.files) == (80, 400, len(files))
    assert answer.bytes == sum(
        path.stat().st_size for path in files if path.name != "snapshot.json"
    )
    assert refused(served.stub.SnapshotPartition, to(f"{root}/monday/p0")) == (
        "FAILED_PRECONDITION",
        "DESTINATION_EXISTS",
    )
    served.stub.SnapshotPartition(to("memory://allowed/operator/p0"))
    for number, source in enumerate((f"{root}/monday/p0", "memory://allowed/operator/p0")):
        data = served.data.parent / f"restored{number}"
        restore_snapshot(source, data)
        copy = Partition(data / "partitions/p0", OPTIONS)
        assert copy.describe() == served.partition.describe()
        copy.close()


def test_scrubbing(served: Served, rng: np.random.Generator) -> None:
    fill(served.partition, rng, "a")
    served.partition.seal()
    request = pb.ScrubPartitionRequest(partition_id="p0")
    answer = served.stub.ScrubPartition(request)
    assert (answer.images, answer.patches, answer.segments) == (80, 400, 1)
    assert not answer.damages
    (path,) = served.data.glob("partitions/p0/segments/*/levels.npy")
    path.write_bytes(path.read_bytes()[:-2])
    (damage,) = served.stub.ScrubPartition(request).damages
    assert damage.place == f"segments/{path.parent.name}" and damage.image_id == ""
    assert "levels.npy fails its checksum" in damage.detail
    assert not served.stub.ScrubPartition(request).damages
    assert described(served).patches == 400


def test_a_call_that_is_out_of_time_ends(served: Served, rng: np.random.Generator) -> None:
    for prefix in "abcdefgh":
        fill(served.partition, rng, prefix, images=200)
    request = pb.ScrubPartitionRequest(partition_id="p0")
    outcome = refused(served.stub.ScrubPartition, request, timeout=0.005)
    assert outcome[0] == "DEADLINE_EXCEEDED"
    assert served.stub.ScrubPartition(request).images == 1600
