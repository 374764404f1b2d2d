"""Epochs: calls of placements that are too old are refused, after a restart and damage too."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import FailedPrecondition
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.wire.status import error_from_status
from patchsearch.wire.vectors import vector_to_proto
from shard_service.fence import FENCE, Epochs, Fence
from shard_service.integrity.verification import verify_partition
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.replica_shards import RunningShard, refusal, running

STALE = ("FAILED_PRECONDITION", "STALE_PLACEMENT")


def fence(one: RunningShard, write: int = 0, read: int = 0) -> tuple[int, int]:
    answer = one.stub.FencePartition(
        pb.FencePartitionRequest(partition_id="p0", min_write_epoch=write, min_read_epoch=read)
    )
    return answer.min_write_epoch, answer.min_read_epoch


def image(image_id: str, version: int = 1) -> pb.StoredImage:
    return pb.StoredImage(image_id=image_id, version=version, uri="file:///x", width=9, height=9)


def test_older_placements_are_refused_call_by_call(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with running(tmp_path) as one:
        stub = one.stub
        put = pb.PutImagesRequest(partition_id="p0", images=[image("a")], epoch=6)
        delete = pb.DeleteImagesRequest(partition_id="p0", image_ids=["b"], version=2, epoch=6)
        get = pb.GetImagesRequest(partition_id="p0", image_ids=["a"], epoch=6)
        listing = pb.ListImagesRequest(partition_id="p0", page_size=5, epoch=6)
        vector = vector_to_proto(units(rng, 1)[0], FINGERPRINT)
        search = pb.SearchPartitionsRequest(
            partition_ids=["p0", "gone"], vector=vector, k=3, epoch=6
        )
        assert fence(one, write=7) == (7, 0)
        assert refusal(stub.PutImages, put) == STALE
        assert refusal(stub.DeleteImages, delete) == STALE
        assert not stub.GetImages(get).images and not stub.ListImages(listing).images
        assert not stub.SearchPartitions(search).partitions[0].HasField("error")

        assert fence(one, write=6, read=8) == (7, 8), "an epoch is never taken back"
        assert refusal(stub.GetImages, get) == STALE
        assert refusal(stub.ListImages, listing) == STALE
        result = {one.partition_id: one for one in stub.SearchPartitions(search).partitions}
        error = error_from_status(result["p0"].error)
        assert isinstance(error, FailedPrecondition) and error.reason == "STALE_PLACEMENT"
        assert error.metadata["epoch"] == "8" and error.metadata["given"] == "6"
        assert error_from_status(result["gone"].error).reason == "PARTITION_NOT_FOUND"

        # 0 is not checked, and what is new enough passes.
        for epoch in (0, 7):
            put.epoch = epoch
            assert stub.PutImages(put).stored_versions == [1]
        get.epoch = search.epoch = listing.epoch = 8
        assert stub.GetImages(get).images and stub.ListImages(listing).images
        assert not stub.SearchPartitions(search).partitions[0].HasField("error")
        described = stub.DescribePartitions(pb.DescribePartitionsRequest()).partitions[0]
        assert (described.min_write_epoch, described.min_read_epoch) == (7, 8)
    with running(tmp_path) as one:
        put.epoch = get.epoch = 6
        assert refusal(one.stub.PutImages, put) == STALE
        assert refusal(one.stub.GetImages, get) == STALE


def test_reads_are_held_for_a_moment_and_go_on_if_nothing_follows(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        put = pb.PutImagesRequest(partition_id="p0", images=[image("a")], epoch=6)
        get = pb.GetImagesRequest(partition_id="p0", image_ids=["a"], epoch=6)
        hold = pb.FencePartitionRequest(partition_id="p0", hold_read_epoch=7, hold_read_ms=30_000)
        answer = one.stub.FencePartition(hold)
        assert (answer.min_write_epoch, answer.min_read_epoch) == (0, 0), "nothing is kept of it"
        assert refusal(one.stub.GetImages, get) == STALE
        assert one.stub.PutImages(put).applied == [True]
        get.epoch = 7
        assert one.stub.GetImages(get).images
        hold.hold_read_ms = 30_001
        too_long = ("INVALID_ARGUMENT", "HOLD_OUT_OF_RANGE")
        assert refusal(one.stub.FencePartition, hold) == too_long
        # The command was killed, and that moment is over.
        hold.hold_read_ms = 50
        one.stub.FencePartition(hold)
        time.sleep(0.06)
        get.epoch = 6
        assert one.stub.GetImages(get).images
        hold.hold_read_ms = 30_000
        one.stub.FencePartition(hold)
    with running(tmp_path) as one:
        assert one.stub.GetImages(get).images


def test_stored_versions_are_told(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        put = pb.PutImagesRequest(partition_id="p0", images=[image("a", 5), image("b", 3)])
        assert one.stub.PutImages(put).stored_versions == [5, 3]
        put = pb.PutImagesRequest(partition_id="p0", images=[image("a", 4), image("b", 9)])
        answer = one.stub.PutImages(put)
        assert (answer.applied, answer.stored_versions) == ([False, True], [5, 9])
        delete = pb.DeleteImagesRequest(partition_id="p0", image_ids=["a", "b", "c"], version=7)
        gone = one.stub.DeleteImages(delete)
        assert (gone.deleted, gone.stored_versions) == ([True, False, False], [7, 9, 7])
        put = pb.PutImagesRequest(partition_id="p0", images=[image("a", 6)])
        answer = one.stub.PutImages(put)
        assert (answer.applied, answer.stored_versions) == ([False], [7])


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "nonsense"])
def test_a_damaged_fence_lets_nothing_through(
    opened: Opened, rng: np.random.Generator, damage: str
) -> None:
    opened().fence.raise_to(Epochs(5, 4))
    opened.close()
    path = opened.directory / FENCE
    text = path.read_bytes()
    path.write_bytes(
        {
            "flipped": text.replace(b": 5", b": 1"),
            "cut": text[: len(text) // 2],
            "empty": b"",
            "nonsense": b"[1, 2]",
        }[damage]
    )
    assert path.read_bytes() != text
    (damage,) = verify_partition(opened.directory).damages
    assert damage.place == FENCE
    partition = opened()
    writes = [photo("a", row_of_boxes(1), units(rng, 1))]
    for epoch in (1, 5, 1 << 40):
        with pytest.raises(FailedPrecondition, match="STALE_PLACEMENT"):
            partition.put_images(writes, FINGERPRINT, epoch)
        with pytest.raises(FailedPrecondition, match="STALE_PLACEMENT"):
            partition.fence.check_read(epoch)
    assert "fence is damaged" in partition.describe().activity
    assert partition.put(writes, FINGERPRINT) == [True], "operators' tools tell no epoch"
    assert partition.fence.raise_to(Epochs(6, 6)) == Epochs(6, 6)
    assert partition.describe().activity == ""
    partition.put_images(writes, FINGERPRINT, 6)
    opened.close()
    assert opened().fence.epochs == Epochs(6, 6)


def test_the_fence_is_no_part_of_a_snapshot(opened: Opened, tmp_path: Path) -> None:
    partition = opened()
    partition.fence.raise_to(Epochs(5, 5))
    partition.snapshot(str(tmp_path / "copy"))
    assert not (tmp_path / "copy" / FENCE).exists()


def test_raising_waits_for_writes_that_passed(tmp_path: Path, workers: Workers) -> None:
    fence = Fence(tmp_path, "p0")
    inside, go_on, raised = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        with fence.writing(3):
            inside.set()
            assert go_on.wait(10)
            assert not raised.is_set()

    def close_it() -> None:
        fence.raise_to(Epochs(min_write=4))
        raised.set()

    workers.start(write)
    assert inside.wait(10)
    workers.start(close_it)
    assert not raised.wait(0.05)
    go_on.set()
    assert raised.wait(10)
    with pytest.raises(FailedPrecondition, match="STALE_PLACEMENT"), fence.writing(3):
        raise AssertionError("not let in")
