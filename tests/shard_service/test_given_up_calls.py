"""Calls that run out of time end soon, say so, and leave nothing half made."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import grpc
import numpy as np
import pytest

from patchsearch.errors import DeadlineExceeded
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from patchsearch.wire.status import error_from_rpc
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer
from shard_service.checkpoint import Checkpoint
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, IDENTITY, OPTIONS, photo, row_of_boxes, units
from tests.shard_service.snapshot_material import agrees, hidden_below, mixed, restored


def after(calls: int) -> Checkpoint:
    """Lets a call go on so many times, then time is up."""
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the call ran out of time")

    return check


def moments(call: Callable[[Checkpoint], object]) -> Iterator[int]:
    """Gives `call` up at its first checkpoint, and later and later, until it comes through."""
    for number in (0, 1, 3, 9, 27, 81, 243):
        try:
            call(after(number))
        except DeadlineExceeded:
            yield number
        else:
            return
    pytest.fail("it never came through")


@pytest.mark.parametrize("where", ["beside", "elsewhere"])
def test_a_snapshot_that_is_given_up_leaves_nothing(
    opened: Opened, rng: np.random.Generator, tmp_path: Path, where: str
) -> None:
    partition = opened()
    oracle = mixed(partition, rng)
    target = str(tmp_path / "taken" / "p0")
    if where == "elsewhere":
        target = f"memory://given-up-{os.getpid()}/p0"
    filesystem, path = fsspec.core.url_to_fs(target)
    given_up = 0
    for _ in moments(lambda check: partition.snapshot(target, check)):
        given_up += 1
        assert not filesystem.exists(path) and hidden_below(tmp_path) == []
        assert partition.describe().activity == ""
    assert given_up >= 3
    copy = restored(target, tmp_path / "data")
    agrees(copy, oracle, rng)
    copy.close()
    filesystem.rm(path, recursive=True)


def test_the_copy_of_a_large_store_stops_halfway(
    opened: Opened, rng: np.random.Generator, tmp_path: Path
) -> None:
    partition = opened()
    for batch in range(16):
        names = [f"i{batch}-{n}" for n in range(40)]
        writes = [photo(name, row_of_boxes(24), units(rng, 24)) for name in names]
        partition.put(writes, FINGERPRINT)
    assert (opened.directory / "lmdb/data.mdb").stat().st_size > 2 << 20
    largest = 0

    def check() -> None:
        nonlocal largest
        sizes = [path.stat().st_size for path in tmp_path.glob("snap/.snapshot-*/lmdb/data.mdb")]
        largest = max([largest, *sizes])
        if largest >= 1 << 20:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the call ran out of time")

    threads = threading.active_count()
    with pytest.raises(DeadlineExceeded):
        partition.snapshot(str(tmp_path / "snap" / "p0"), check)
    assert 1 << 20 <= largest <= 2 << 20
    assert threading.active_count() == threads
    assert os.listdir(tmp_path / "snap") == []
    # Writes and the next snapshot go on.
    partition.put([photo("last", row_of_boxes(2), units(rng, 2))], FINGERPRINT)
    assert partition.snapshot(str(tmp_path / "snap" / "p0")).images == 641


def test_a_build_that_is_given_up_leaves_nothing(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened(profile="graph")
    mixed(partition, rng)
    more = [photo(f"more{n}", row_of_boxes(24), units(rng, 24)) for n in range(480)]
    partition.put(more, FINGERPRINT)
    before = sorted(os.listdir(opened.directory / "segments"))
    growing = partition.describe().growing_patches
    activities = []

    def halfway() -> None:
        activities.append(partition.describe().activity)
        if activities[-1]:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the call ran out of time")

    for call in (partition.seal, partition.compact):
        for checkpoint in (after(0), after(1), halfway):
            with pytest.raises(DeadlineExceeded):
                call(checkpoint)
            state = partition.describe()
            assert (state.growing_patches, state.activity) == (growing, "")
            assert sorted(os.listdir(opened.directory / "segments")) == before
    assert any("sealing" in one for one in activities)
    assert any("compacting" in one for one in activities)
    patches = partition.describe().patches
    for compacted in (False, True):
        if compacted:
            assert partition.compact()[1] == 2
        assert partition.describe().patches == patches
        for image, rows in more[::40]:
            (hit,) = partition.search(PartitionQuery(rows.vectors[3], 1), FINGERPRINT).hits
            assert (hit.image.image_id, hit.box) == (image.image_id, (300, 0, 100, 100))


def test_what_waits_for_the_builder_can_be_given_up(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    slots = threading.Semaphore(1)
    opened()
    opened.close()
    partition = Partition(opened.directory, OPTIONS, slots)
    try:
        writes = [photo(f"i{n}", row_of_boxes(5), units(rng, 5)) for n in range(80)]
        partition.put(writes, FINGERPRINT)
        # Another partition of the process builds.
        slots.acquire()
        began = time.monotonic()
        for call in (partition.seal, partition.compact, partition.scrub):
            with pytest.raises(DeadlineExceeded):
                call(after(6))
        assert time.monotonic() - began < 5
        slots.release()
        assert partition.seal() == 400
    finally:
        partition.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[ShardServiceStub, Partition, Path]]:
    data = tmp_path / "data"
    shard = Shard(data, OPTIONS)
    shard.open()
    shard.create(IDENTITY)
    settings = ShardSettings(data=data, port=0, log_level="error")
    with ServiceServer(settings, [shard_service(shard, [str(data / "snapshots")])]) as server:
        channel = open_channel(server.address, max_attempts=1)
        yield ShardServiceStub(channel), shard.partition("p0"), data
        channel.close()
    shard.close()


def test_the_deadline_of_a_caller_counts(
    served: tuple[ShardServiceStub, Partition, Path], rng: np.random.Generator
) -> None:
    stub, partition, data = served
    for batch in range(12):
        names = [f"i{batch}-{n}" for n in range(40)]
        partition.put(
            [photo(name, row_of_boxes(24), units(rng, 24)) for name in names], FINGERPRINT
        )
    target = data / "snapshots" / "monday" / "p0"
    snapshot = pb.SnapshotPartitionRequest(partition_id="p0", destination=str(target))
    seal = pb.SealPartitionRequest(partition_id="p0")
    compact = pb.CompactPartitionRequest(partition_id="p0")
    for call, request in (
        (stub.SnapshotPartition, snapshot),
        (stub.SealPartition, seal),
        (stub.CompactPartition, compact),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call(request, timeout=0.004)
        assert error_from_rpc(raised.value).code == "DEADLINE_EXCEEDED"
    until = time.monotonic() + 20
    while partition.describe().activity and time.monotonic() < until:
        time.sleep(0.02)
    assert partition.describe().activity == "" and partition.describe().sealed_segments == 0
    assert not target.exists() and hidden_below(data) == []
    assert stub.SnapshotPartition(snapshot, timeout=60).images == 480
    assert stub.SealPartition(seal, timeout=60).sealed_patches == 11520
