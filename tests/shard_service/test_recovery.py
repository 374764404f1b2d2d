"""Reopening: after a close, after SIGKILL, with damaged files, with leftovers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from patchsearch.errors import DataLoss, FailedPrecondition
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.shard import Shard
from tests.shard_service.conftest import Opened
from tests.shard_service.material import DIM, FINGERPRINT, IDENTITY, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found

WRITER = Path(__file__).parent / "killed_writer.py"


def filled(partition: Partition, rng: np.random.Generator, images: int = 100) -> Oracle:
    oracle = Oracle()
    writes = [photo(f"i{n}", row_of_boxes(6), units(rng, 6)) for n in range(images)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)
    return oracle


def agrees(partition: Partition, oracle: Oracle, rng: np.random.Generator) -> None:
    for vector in units(rng, 3):
        query = PartitionQuery(vector, 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def test_everything_is_there_after_a_close(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    partition.delete(["i3", "none"], 7)
    oracle.delete(["i3", "none"], 7)
    before = partition.describe()
    opened.close()
    partition = opened()
    assert partition.describe() == before
    agrees(partition, oracle, rng)
    assert partition.put([photo("none", [], units(rng, 0), version=6)], FINGERPRINT) == [False]


@pytest.mark.parametrize("name", ["index.faiss", "vectors.faiss", "boxes.npy", "manifest.json"])
def test_a_damaged_segment_is_moved_aside_and_rebuilt(
    opened: Opened, rng: np.random.Generator, name: str
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    partition.seal()
    partition.delete(["i3"], 7)
    oracle.delete(["i3"], 7)
    opened.close()
    (segment,) = (opened.directory / "segments").iterdir()
    path = segment / name
    damaged = bytearray(path.read_bytes())
    for at in rng.integers(0, len(damaged), 8):
        damaged[at] ^= 0x55
    path.write_bytes(damaged)

    partition = opened()
    # At once, whether the rebuild has finished or not; and when it has.
    agrees(partition, oracle, rng)
    until = time.monotonic() + 30
    while partition.describe().sealed_segments == 0:
        assert time.monotonic() < until
        time.sleep(0.02)
    agrees(partition, oracle, rng)
    assert partition.describe().growing_patches == 0
    names = sorted(path.name for path in (opened.directory / "segments").iterdir())
    assert names[0] == f".failed-{segment.name}" and len(names) == 2


def test_a_lost_segment_is_rebuilt_from_the_store(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    partition.seal()
    opened.close()
    (segment,) = (opened.directory / "segments").iterdir()
    for path in segment.iterdir():
        path.unlink()
    segment.rmdir()
    partition = opened()
    agrees(partition, oracle, rng)


def test_a_damaged_codebook_costs_nothing_but_a_new_one(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    partition.seal()
    opened.close()
    (codebook,) = (opened.directory / "codebooks").iterdir()
    (codebook / "centroids.npy").write_bytes(b"nothing")
    partition = opened()
    agrees(partition, oracle, rng)
    more = [photo(f"more{n}", row_of_boxes(6), units(rng, 6)) for n in range(60)]
    partition.put(more, FINGERPRINT)
    oracle.put(*more)
    assert partition.seal() == 360
    agrees(partition, oracle, rng)


def test_unfinished_directories_are_removed(opened: Opened, rng: np.random.Generator) -> None:
    oracle = filled(opened(), rng)
    opened.close()
    leftover = opened.directory / "segments" / ".unfinished-0123"
    leftover.mkdir()
    (leftover / "vectors.faiss").write_bytes(b"half")
    agrees(opened(), oracle, rng)
    assert not leftover.exists()


def test_a_flipped_bit_in_the_store_is_never_an_answer(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng, images=20)
    vectors = units(rng, 2)
    partition.put([photo("victim", row_of_boxes(2), vectors)], FINGERPRINT)
    opened.close()
    path = opened.directory / "lmdb" / "data.mdb"
    data = bytearray(path.read_bytes())
    at = data.index(vectors[0].astype(np.float16).tobytes())
    data[at + 20] ^= 0x10
    path.write_bytes(data)

    partition = opened()
    agrees(partition, oracle, rng)
    assert "1 damaged images" in partition.describe().activity
    with pytest.raises(DataLoss, match=r"victim.*STORE_CORRUPT"):
        partition.get_images(["victim"], with_patches=True)
    # Writing it again heals it.
    write = photo("victim", row_of_boxes(2), vectors, version=2)
    assert partition.put([write], FINGERPRINT) == [True]
    oracle.put(write)
    agrees(partition, oracle, rng)


def test_a_store_that_lmdb_cannot_read_is_data_loss(
    opened: Opened, rng: np.random.Generator
) -> None:
    filled(opened(), rng, images=5)
    opened.close()
    path = opened.directory / "lmdb" / "data.mdb"
    path.write_bytes(b"\0" * len(path.read_bytes()))
    with pytest.raises(DataLoss, match="STORE_CORRUPT"):
        opened()


def test_killed_in_the_middle_of_writing(tmp_path: Path, rng: np.random.Generator) -> None:
    """Acknowledged images stay, others are whole or absent, and nobody's help is needed."""
    acknowledged: dict[str, int] = {}
    for kill in range(4):
        child = subprocess.Popen(
            [sys.executable, str(WRITER), str(tmp_path / "data"), str(kill)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdout is not None
        try:
            while (line := child.stdout.readline()) != "ready\n":
                assert line
            time.sleep(float(rng.uniform(0.05, 0.6)))
        finally:
            child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.startswith("{") and line.endswith("\n"):
                entry = json.loads(line)
                acknowledged[entry["id"]] = max(entry["version"], acknowledged.get(entry["id"], 0))
        child.wait()
        child.stdout.close()
        _check_after_kill(tmp_path / "data", acknowledged)
    assert len(acknowledged) > 20


def _check_after_kill(data: Path, acknowledged: dict[str, int]) -> None:
    shard = Shard(data, PartitionOptions(seal_patches=10**9, min_train_patches=300))
    shard.open()
    try:
        partition = shard.partition("p0")
        stored = {}
        after = ""
        while page := partition.list_images(after, "", 1000):
            stored.update({one.image.image_id.decode(): one for one in page})
            after = page[-1].image.image_id.decode()
        for image_id, version in acknowledged.items():
            assert image_id in stored and stored[image_id].image.version >= version
        whole = partition.get_images(list(stored)[:1000], with_patches=True)
        for one in whole:
            # The writer derives everything from id and version.
            image, patches = photo_of(one.image.image_id.decode(), one.image.version)
            assert one.patches is not None and one.image.uri == image.uri
            np.testing.assert_array_equal(one.patches.boxes, patches.boxes)
            np.testing.assert_array_equal(one.patches.vectors, patches.vectors.astype(np.float16))
        assert partition.describe().patches == sum(one.patch_count for one in stored.values())
        for one in whole[:: max(1, len(whole) // 20)]:
            _, patches = photo_of(one.image.image_id.decode(), one.image.version)
            hits = partition.search(PartitionQuery(patches.vectors[0], 1), FINGERPRINT).hits
            assert hits[0].image.image_id == one.image.image_id
    finally:
        shard.close()


def photo_of(image_id: str, version: int):  # type: ignore[no-untyped-def]
    """The photo that `killed_writer` writes under this id and version."""
    rng = np.random.default_rng([version, *image_id.encode()])
    count = 1 + version % 7
    return photo(image_id, row_of_boxes(count), units(rng, count, DIM), version=version)


def test_a_directory_in_use_is_refused_and_named(tmp_path: Path) -> None:
    options = PartitionOptions(map_bytes=1 << 20)
    shard = Shard(tmp_path, options)
    shard.open()
    with pytest.raises(FailedPrecondition, match=rf"process {os.getpid()};.*DATA_DIR_IN_USE"):
        Shard(tmp_path, options).open()
    shard.close()
    again = Shard(tmp_path, options)
    again.open()
    again.close()


def test_one_unreadable_partition_does_not_stop_the_others(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    options = PartitionOptions(map_bytes=1 << 20)
    shard = Shard(tmp_path, options)
    shard.open()
    shard.create(IDENTITY)
    (tmp_path / "partitions" / "broken").mkdir()
    (tmp_path / "partitions" / ".unfinished-1").mkdir()
    shard.close()
    shard = Shard(tmp_path, options)
    shard.open()
    try:
        answer = shard.search(
            ["p0", "broken"], [(PartitionQuery(units(rng, 1)[0], 3), FINGERPRINT)]
        )[0]
        outcomes = dict(answer.partitions)
        assert isinstance(outcomes["broken"], DataLoss)
        assert not isinstance(outcomes["p0"], Exception)
        assert not (tmp_path / "partitions" / ".unfinished-1").exists()
    finally:
        shard.close()
