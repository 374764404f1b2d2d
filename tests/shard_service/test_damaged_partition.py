"""What an open partition answers while some of it is damaged, lost, or somebody else's."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from patchsearch.errors import DataLoss, FailedPrecondition, Unavailable
from shard_service.fence import Fence
from shard_service.integrity.lmdb_pages import read_structure
from shard_service.integrity.prepared_store import last_report
from shard_service.options import PartitionOptions
from shard_service.partition_health import PartitionHealth
from shard_service.partition_writes import PartitionWrites
from shard_service.replication.digests import PartitionDigests
from shard_service.search.query import PartitionQuery
from shard_service.segments.growing import GrowingSegment
from shard_service.segments.segment_set import SegmentSet
from shard_service.shard import Shard
from shard_service.store.images import Operation, Outcome
from shard_service.store.patch_store import PatchStore
from tests.shard_service.conftest import Opened
from tests.shard_service.material import FINGERPRINT, IDENTITY, photo, row_of_boxes, units
from tests.shard_service.test_recovery import agrees, filled

PAGE = 4096


def damage_record(directory: Path, image_id: bytes) -> None:
    """Flips a bit in the record of an image, through LMDB."""
    env = lmdb.open(str(directory / "lmdb"), max_dbs=4, map_size=1 << 24)
    with env.begin(write=True, db=env.open_db(b"images", create=False)) as txn:
        record = bytearray(txn.get(image_id))
        record[45] ^= 4
        txn.put(image_id, bytes(record))
    env.close()


def test_a_damaged_record_costs_one_image(opened: Opened, rng: np.random.Generator) -> None:
    filled(opened(), rng, images=20)
    opened.close()
    damage_record(opened.directory, b"i13")
    partition = opened()
    listed = [one.image.image_id for one in partition.list_images("", "", 1000)]
    assert len(listed) == 19 and b"i13" not in listed
    # A page is full as long as there are more.
    assert [one.image.image_id for one in partition.list_images("i12", "", 2)] == [b"i14", b"i15"]
    assert len(partition.get_images(["i12", "i14"], with_patches=True)) == 2
    with pytest.raises(DataLoss, match="i13"):
        partition.get_images(["i13"], with_patches=False)
    state = partition.describe()
    assert (state.images, state.damaged_images) == (19, 1)


def test_damage_that_a_list_meets_first_is_counted(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    filled(partition, rng, images=20)
    assert partition.describe().damaged_images == 0
    # The same file that LMDB has mapped.
    path = opened.directory / "lmdb" / "data.mdb"
    data = path.read_bytes()
    items = read_structure(opened.directory / "lmdb").snapshots[0].items["images"]
    (at,) = (
        value
        for key, size, value in zip(
            items.key_at.tolist(), items.key_sizes.tolist(), items.value_at.tolist(), strict=True
        )
        if data[key : key + size] == b"i13"
    )
    with path.open("r+b") as file:
        file.seek(at + 45)
        file.write(bytes([data[at + 45] ^ 4]))
    assert len(partition.list_images("", "", 1000)) == 19
    assert partition.describe().damaged_images == 1
    partition.put([photo("i13", row_of_boxes(2), units(rng, 2), version=2)], FINGERPRINT)
    assert partition.describe().damaged_images == 0


def lose_a_page_of_images(directory: Path) -> None:
    environment = directory / "lmdb"
    items = read_structure(environment).snapshots[0].items["images"]
    page = int(items.key_at[len(items) // 2]) // PAGE
    with (environment / "data.mdb").open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))


def test_what_a_damaged_store_lost_is_told_until_it_is_written_or_deleted(
    opened: Opened, rng: np.random.Generator
) -> None:
    filled(opened(), rng, images=100)
    opened.close()
    lose_a_page_of_images(opened.directory)
    partition = opened()
    report = last_report(opened.directory)
    assert report is not None and len(report.lost_ids) > 10
    lost = [key.decode() for key in report.lost_ids]
    assert partition.describe().damaged_images == len(lost)
    assert partition.delete(lost[:3], 50) == [False] * 3
    writes = [photo(key, row_of_boxes(2), units(rng, 2), version=60) for key in lost[3:6]]
    assert partition.put(writes, FINGERPRINT) == [True] * 3
    assert partition.delete(lost[5:6], 70) == [True]
    assert partition.describe().damaged_images == len(lost) - 6
    opened.close()
    # One of them is damaged again: that is told of its record, and stops nobody.
    damage_record(opened.directory, lost[4].encode())
    partition = opened()
    assert partition.describe().damaged_images == len(lost) - 6 + 1


def test_segments_of_another_partition_are_moved_aside(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    partition.seal()
    opened.close()
    other = Opened(opened.directory.parent / "p1")
    stranger = other(replace(IDENTITY, partition_id="p1"))
    writes = [photo(f"other{n}", row_of_boxes(6), units(rng, 6)) for n in range(100)]
    stranger.put(writes, FINGERPRINT)
    stranger.seal()
    other.close()
    (mine,) = (opened.directory / "segments").iterdir()
    (theirs,) = (other.directory / "segments").iterdir()
    shutil.rmtree(mine)
    shutil.copytree(theirs, opened.directory / "segments" / theirs.name)
    partition = opened()
    agrees(partition, oracle, rng)
    assert (opened.directory / "segments" / f".failed-{theirs.name}").is_dir()
    # Beside the right one it changes nothing either.
    partition.seal()
    opened.close()
    shutil.copytree(theirs, opened.directory / "segments" / theirs.name)
    agrees(opened(), oracle, rng)


def test_a_partition_in_the_directory_of_another_is_not_opened(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    options = PartitionOptions(map_bytes=1 << 20)
    shard = Shard(tmp_path, options)
    shard.open()
    for name in ("p0", "p1", "p2"):
        shard.create(replace(IDENTITY, partition_id=name))
    shard.close()
    parent = tmp_path / "partitions"
    shutil.rmtree(parent / "p1" / "lmdb")
    shutil.copytree(parent / "p2" / "lmdb", parent / "p1" / "lmdb")
    shutil.copytree(parent / "p2", parent / "copy")
    shard = Shard(tmp_path, options)
    shard.open()
    try:
        query = PartitionQuery(units(rng, 1)[0], 3)
        outcomes = dict(
            shard.search(["p0", "p1", "p2", "copy"], [(query, FINGERPRINT)])[0].partitions
        )
        for name in ("p1", "copy"):
            error = outcomes[name]
            assert isinstance(error, FailedPrecondition)
            assert error.reason == "PARTITION_MISPLACED" and "p2" in error.message
        assert not isinstance(outcomes["p0"], Exception)
        assert not isinstance(outcomes["p2"], Exception)
    finally:
        shard.close()


class Failing(SegmentSet):
    """Segments that take nothing any more."""

    def apply(
        self, operations: Sequence[Operation], outcomes: Sequence[Outcome], commits: int
    ) -> None:
        raise MemoryError("no room for rows")


def test_a_durable_write_is_never_reported_as_failed(
    opened: Opened, rng: np.random.Generator
) -> None:
    filled(opened(), rng, images=3)
    opened.close()
    store = PatchStore(opened.directory / "lmdb", 1 << 20)
    health = PartitionHealth("p0", ())

    def committed(displaced: bool) -> None:
        raise RuntimeError("whatever follows")

    segments = Failing(IDENTITY.dim, [], GrowingSegment(IDENTITY.dim), 0, store.commits)
    digests = PartitionDigests(IDENTITY.hash_start, IDENTITY.hash_end)
    fence = Fence(opened.directory, "p0")
    writes = PartitionWrites(store, segments, health, digests, fence, committed)
    write = photo("late", row_of_boxes(2), units(rng, 2))
    assert [one.applied for one in writes.put([write])] == [True]
    assert store.read_images([b"late"])[0] is not None
    # From here on memory and store say different things.
    with pytest.raises(Unavailable, match=r"no room for rows.*restart") as caught:
        health.check()
    assert caught.value.reason == "STORE_FAILED"
    with pytest.raises(Unavailable, match="STORE_FAILED"):
        writes.put([photo("later", row_of_boxes(2), units(rng, 2))])
    writes.close()
    assert store.read_images([b"later"]) == [None]
    store.close()
    partition = opened()
    hits = partition.search(PartitionQuery(write[1].vectors[0], 1), FINGERPRINT).hits
    assert hits[0].image.image_id == b"late"
