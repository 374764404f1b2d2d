"""Scrubbing: damage that comes while a partition serves is found, told and mended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest

from patchsearch.errors import DataLoss, DeadlineExceeded
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found

IMAGES = 80


def filled(partition: Partition, rng: np.random.Generator) -> Oracle:
    """A sealed segment with dead rows, and rows that grow."""
    oracle = Oracle()
    writes = [photo(f"i{n:03}", row_of_boxes(5), units(rng, 5)) for n in range(IMAGES)]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)
    partition.seal()
    partition.delete(["i003", "i004"], 5)
    oracle.delete(["i003", "i004"], 5)
    more = [photo(f"j{n}", row_of_boxes(5), units(rng, 5)) for n in range(4)]
    partition.put(more, FINGERPRINT)
    oracle.put(*more)
    return oracle


def agrees(partition: Partition, oracle: Oracle, rng: np.random.Generator) -> None:
    assert partition.describe().patches == oracle.patches
    for vector in units(rng, 3):
        query = PartitionQuery(vector, 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def sealed_directory(opened: Opened) -> Path:
    (directory,) = (
        path for path in (opened.directory / "segments").iterdir() if path.name[0] != "."
    )
    return directory


def flip(path: Path, rng: np.random.Generator, count: int = 8) -> None:
    """Changes bytes in place, as a disk does: what is mapped sees it."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for at in rng.integers(size, size=count).tolist():
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x5A]))


def test_all_is_well(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    filled(partition, rng)
    report = partition.scrub()
    # Tombstones are records too.
    assert (report.images, report.patches) == (IMAGES + 4, 5 * (IMAGES + 4 - 2))
    assert (report.segments, report.damages) == (1, ())
    assert partition.describe().activity == ""


@pytest.mark.parametrize(
    "name",
    [
        "index.faiss",
        "vectors.faiss",
        "boxes.npy",
        "levels.npy",
        "row_images.npy",
        "image_starts.npy",
        "image_rows.npy",
        "first_sequences.npy",
        "image_ids.npy",
        "image_id_ends.npy",
        "manifest.json",
    ],
)
def test_a_segment_that_is_damaged_while_it_is_open(
    opened: Opened, rng: np.random.Generator, name: str
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    directory = sealed_directory(opened)
    flip(directory / name, rng)
    # Writes that meet the damaged files are neither refused nor lost.
    for image_id in ("i020", "i021"):
        assert partition.delete([image_id], 6) == oracle.delete([image_id], 6) == [True]
    report = partition.scrub()
    (damage,) = report.damages
    assert damage.place == f"segments/{directory.name}" and damage.image_id == ""
    assert f".failed-{directory.name}" in damage.detail
    # From the store, at once; and after the rebuild, from the new segment.
    agrees(partition, oracle, rng)
    eventually(lambda: partition.describe().growing_patches == 0)
    agrees(partition, oracle, rng)
    state = partition.describe()
    assert (state.sealed_segments, state.damaged_images) == (1, 0)
    names = sorted(path.name for path in (opened.directory / "segments").iterdir())
    assert names[0] == f".failed-{directory.name}" and len(names) == 2
    assert partition.scrub().damages == ()
    opened.close()
    agrees(opened(), oracle, rng)


def test_a_segment_that_is_gone(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    for path in sealed_directory(opened).iterdir():
        path.unlink()
    assert len(partition.scrub().damages) == 1
    agrees(partition, oracle, rng)


def test_writes_and_searches_beside_a_scrub_that_finds_damage(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    flip(sealed_directory(opened) / "first_sequences.npy", rng)
    scrubbed: list[int] = []
    workers.start(lambda: scrubbed.append(len(partition.scrub().damages)))
    number = 0
    while not scrubbed or number < 40:
        number += 1
        gone = [f"i{7 * number % IMAGES:03}"]
        version = 10 + number
        assert partition.delete(gone, version) == oracle.delete(gone, version)
        again = photo(f"i{5 * number % IMAGES:03}", row_of_boxes(3), units(rng, 3), version=version)
        assert partition.put([again], FINGERPRINT) == oracle.put(again)
        query = PartitionQuery(units(rng, 1)[0], 1000)
        assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)
    workers.join()
    assert scrubbed == [1]
    eventually(lambda: partition.describe().activity == "")
    agrees(partition, oracle, rng)


def spoil_patch(directory: Path, image_id: str) -> None:
    """Changes a byte of an image's first patch record behind its checksum's back."""
    env = lmdb.open(str(directory / "lmdb"), max_dbs=4)
    try:
        patches = env.open_db(b"patches", create=False)
        with env.begin(write=True, db=patches) as txn, txn.cursor() as cursor:
            for key, record in cursor:
                if record[-4 - len(image_id) : -4] == image_id.encode():
                    txn.put(key, bytes([*record[:40], record[40] ^ 1, *record[41:]]))
                    return
        raise LookupError(image_id)
    finally:
        env.close()


def test_a_damaged_patch_record_is_named_and_healed_by_writing_it_again(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    opened.close()
    spoil_patch(opened.directory, "i010")
    spoil_patch(opened.directory, "j2")

    partition = opened()
    # The row of i010 is in a segment whose files are whole; that of j2 is nowhere else.
    assert partition.describe().damaged_images == 1
    report = partition.scrub()
    assert [damage.image_id for damage in report.damages] == ["i010", "j2"]
    assert {damage.place for damage in report.damages} == {"lmdb"}
    assert all("fails its checksum" in damage.detail for damage in report.damages)
    state = partition.describe()
    assert state.damaged_images == 2 and "2 damaged images" in state.activity
    # Whoever looks whether an image is stored must not take a damaged one for whole.
    for image_id, with_patches in (("j2", True), ("j2", False), ("i010", False)):
        with pytest.raises(DataLoss, match=f"{image_id}.*STORE_CORRUPT"):
            partition.get_images([image_id, "i011"], with_patches=with_patches)
    # The same version is no news, and mends nothing.
    assert partition.put([photo("j2", row_of_boxes(5), units(rng, 5))], FINGERPRINT) == [False]
    assert partition.describe().damaged_images == 2
    rest = Oracle({key: value for key, value in oracle.images.items() if key != "j2"})
    for vector in units(rng, 3):
        query = PartitionQuery(vector, 1000)
        assert found(partition.search(query, FINGERPRINT)) == rest.search(query)
    for image_id in ("i010", "j2"):
        again = photo(image_id, row_of_boxes(5), units(rng, 5), version=9)
        assert partition.put([again], FINGERPRINT) == [True]
        oracle.put(again)
    assert partition.describe().damaged_images == 0
    assert partition.scrub().damages == ()
    agrees(partition, oracle, rng)


def test_damage_in_both_places_costs_the_image_alone(
    opened: Opened, rng: np.random.Generator
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    opened.close()
    spoil_patch(opened.directory, "i010")
    partition = opened()
    flip(sealed_directory(opened) / "vectors.faiss", rng)
    report = partition.scrub()
    assert len(report.damages) == 2 and report.damages[0].image_id == "i010"
    rest = Oracle({key: value for key, value in oracle.images.items() if key != "i010"})
    agrees(partition, rest, rng)


def test_a_scrub_can_be_given_up(opened: Opened, rng: np.random.Generator) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    flip(sealed_directory(opened) / "vectors.faiss", rng)
    calls = 0

    def out_of_time() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "the call ran out of time")

    with pytest.raises(DeadlineExceeded):
        partition.scrub(out_of_time)
    assert partition.describe().activity == ""
    assert len(partition.scrub().damages) == 1
    agrees(partition, oracle, rng)
