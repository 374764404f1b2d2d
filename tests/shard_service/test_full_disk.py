"""A disk that is full, wherever a shard writes: refused with DISK_FULL, nothing lost, gone on with
once there is room."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.wire.vectors import vector_to_proto
from shard_service.versions import CLOCK_SHIFT
from tests.shard_service.material import FINGERPRINT, IDENTITY, photo, row_of_boxes, units
from tests.shard_service.replica_shards import RunningShard, fill, records, refusal, running
from tests.shard_service.splits import SPLIT, halves_hold_everything, split

DISK_FULL = ("RESOURCE_EXHAUSTED", "DISK_FULL")


class Disk:
    """A small file system, filled and emptied by a file."""

    def __init__(self, mount: Path) -> None:
        self.data = mount / "data"
        self._ballast = mount / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Leaves so many bytes."""
        with self._ballast.open("ab") as file:
            file.write(bytes(max(0, shutil.disk_usage(self._ballast.parent).free - leave)))

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(small_disk: Path) -> Disk:
    return Disk(small_disk)


@pytest.fixture
def source(tmp_path: Path, rng: np.random.Generator) -> Iterator[RunningShard]:
    """A shard on a large disk, with 120 images."""
    with running(tmp_path / "source") as one:
        fill(one, rng)
        yield one


@contextmanager
def on_event(event: str, data: Path, act: Callable[[], None]) -> Iterator[None]:
    """Acts once, at a point that the shard on `data` names."""
    waiting = [act]

    def heard(name: str, arguments: tuple[object, ...]) -> None:
        # Hooks stay for good: this one does nothing any more afterwards.
        if waiting and name == "patchsearch.shard" and arguments[0] == event:
            waiting.pop()()

    sys.addaudithook(heard)
    try:
        yield
        assert not waiting, f"{event} did not come on {data}"
    finally:
        waiting.clear()


def searched(one: RunningShard, rng: np.random.Generator) -> int:
    """The hits of a search for everything."""
    request = pb.SearchPartitionsRequest(
        partition_ids=["p0"], vector=vector_to_proto(units(rng, 1)[0], FINGERPRINT), k=1000
    )
    answer = one.stub.SearchPartitions(request, timeout=20)
    assert not answer.partitions[0].HasField("error")
    return len(answer.hits)


def same(one: RunningShard, other: RunningShard) -> bool:
    return one.digest() == other.digest() and records(one.data / "partitions/p0") == records(
        other.data / "partitions/p0"
    )


def test_writes_are_refused_and_searches_go_on(disk: Disk, rng: np.random.Generator) -> None:
    with running(disk.data) as one:
        fill(one, rng, 20)
        big = pb.StoredImage(image_id="big", version=99 << CLOCK_SHIFT, width=9, height=9)
        big.metadata["text"] = "x" * (60 << 10)
        put = pb.PutImagesRequest(partition_id="p0", images=[big])
        ids = [f"none{n}" + "x" * 480 for n in range(900)]
        delete = pb.DeleteImagesRequest(partition_id="p0", image_ids=ids, version=77)
        disk.fill()
        for _ in range(2):
            # Pages that are free in the store's file may take a small one.
            assert refusal(one.stub.DeleteImages, delete) == DISK_FULL
            assert refusal(one.stub.PutImages, put) == DISK_FULL
            assert searched(one, rng) == 100
        assert one.partition.describe().tombstones == 0
        disk.free()
        assert list(one.stub.PutImages(put).applied) == [True]
        assert len(one.stub.DeleteImages(delete).deleted) == 900
        assert one.partition.describe().tombstones == 900 and searched(one, rng) == 100


def test_a_shard_starts_and_searches_on_a_full_disk(disk: Disk, rng: np.random.Generator) -> None:
    with running(disk.data) as one:
        fill(one, rng)
    disk.fill()
    with running(disk.data, create=False) as one:
        assert searched(one, rng) == 600
        write = photo("late", row_of_boxes(2), units(rng, 2))
        disk.free()
        assert one.partition.put([write], FINGERPRINT) == [True]


def test_a_replica_that_is_full_is_repaired_later(
    disk: Disk, source: RunningShard, rng: np.random.Generator
) -> None:
    with running(disk.data) as target:
        disk.fill(leave=64 << 10)
        repair = pb.RepairPartitionRequest(partition_id="p0", source=source.address)
        assert refusal(target.stub.RepairPartition, repair) == DISK_FULL
        kept = target.partition.describe().images
        assert searched(target, rng) == 5 * kept < 600
        disk.free()
        assert target.repair_from(source) == (120 - kept, 0)
        assert same(target, source)


@pytest.mark.parametrize("when", ["before", "halfway", "in-the-end"])
def test_a_partition_is_pulled_later(
    disk: Disk, source: RunningShard, rng: np.random.Generator, when: str
) -> None:
    with running(disk.data, create=False) as target:
        pull = pb.PullPartitionRequest(partition_id="p0", source=source.address)
        if when == "before":
            disk.fill(leave=100 << 10)
            assert refusal(target.stub.PullPartition, pull) == DISK_FULL
        else:
            event = {"halfway": "mid-pull", "in-the-end": "after-install"}[when]
            with on_event(event, target.data, disk.fill):
                assert refusal(target.stub.PullPartition, pull) == DISK_FULL
        assert not [*(disk.data / "partitions").iterdir()]
        disk.free()
        assert not target.pull_from(source)[-1].already_held
        assert same(target, source) and searched(target, rng) == 600


def test_a_source_that_is_full_is_copied_from_later(
    disk: Disk, tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(disk.data) as full, running(tmp_path / "b", create=False) as target:
        fill(full, rng)
        disk.fill()
        pull = pb.PullPartitionRequest(partition_id="p0", source=full.address)
        assert refusal(target.stub.PullPartition, pull) == ("UNAVAILABLE", "SOURCE_FAILED")
        assert not [*(target.data / "partitions").iterdir()]
        assert not [*(full.data / "copies").iterdir()] and searched(full, rng) == 600
        disk.free()
        target.pull_from(full)
        assert same(target, full)


@pytest.mark.parametrize("leave", [0, 80 << 10, 96 << 10, 300 << 10])
def test_a_partition_is_split_later(disk: Disk, rng: np.random.Generator, leave: int) -> None:
    with running(disk.data) as one:
        fill(one, rng, 150)
        disk.fill(leave)
        assert refusal(one.stub.SplitPartition, SPLIT) == DISK_FULL
        assert searched(one, rng) == 750
        disk.free()
        assert split(one)[-1].moved_images == 150
        write = photo("late", row_of_boxes(2), units(rng, 2), version=10**6)
        assert one.partition.put([write], FINGERPRINT) == [True]
        halves_hold_everything(disk.data)


def test_writes_that_a_half_cannot_take_are_in_it_later(
    disk: Disk, rng: np.random.Generator
) -> None:
    with running(disk.data) as one:
        fill(one, rng, 20)
        split(one)
        put = pb.PutImagesRequest(partition_id="p0")
        for number in range(8):
            image = put.images.add(image_id=f"big{number}", version=99, width=9, height=9)
            image.metadata["text"] = "x" * (60 << 10)
        disk.fill()
        assert refusal(one.stub.PutImages, put) == DISK_FULL
        assert searched(one, rng) == 100
        disk.free()
        assert len(one.stub.PutImages(put).applied) == 8
        assert split(one)[-1].done
        halves_hold_everything(disk.data)


def test_a_partition_is_created_and_dropped(disk: Disk) -> None:
    with running(disk.data) as one:
        create = pb.CreatePartitionRequest(
            partition_id="p1", hash_end=2**64 - 1, fingerprint=FINGERPRINT, encoder="e", dim=64
        )
        disk.fill()
        assert refusal(one.stub.CreatePartition, create) == DISK_FULL
        assert [path.name for path in (disk.data / "partitions").iterdir()] == ["p0"]
        # What is dropped makes room, so it must not need any.
        assert one.stub.DropPartition(pb.DropPartitionRequest(partition_id="p0")).dropped
        disk.free()
        assert one.stub.CreatePartition(create).created
        assert one.shard.create(IDENTITY)
