"""Digests in memory are those of the store, whatever happened to the commits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from patchsearch.errors import ResourceExhausted
from shard_service.options import PartitionOptions
from shard_service.partition import Partition
from shard_service.partition_files import create_partition
from shard_service.replication.digests import Totals, record_digest
from tests.shard_service.conftest import Workers
from tests.shard_service.material import FINGERPRINT, IDENTITY, photo, row_of_boxes, units

LAST = (1 << 64) - 1


def counted(partition: Partition) -> Totals:
    """From the records."""
    digest = tombstones = 0
    versions = partition.replica.versions(0, LAST, b"", 10**6)
    for key, state in versions:
        digest ^= record_digest(key, state)
        tombstones += state.deleted
    return Totals(len(versions), tombstones, digest)


def test_after_writers_that_met(tmp_path: Path, rng: np.random.Generator, workers: Workers) -> None:
    create_partition(tmp_path / "p0", IDENTITY, 1 << 20)
    partition = Partition(tmp_path / "p0", PartitionOptions(seal_patches=10**9, map_bytes=1 << 20))

    def write(thread: int) -> None:
        mine = np.random.default_rng(thread)
        for version in range(1, 60):
            ids = [f"i{n}" for n in mine.integers(0, 25, 3)]
            if mine.random() < 0.3:
                partition.delete(ids, version)
            else:
                # One id may come twice in a batch.
                puts = [photo(one, [], units(mine, 0), version=version) for one in ids]
                partition.put(puts, FINGERPRINT)

    for thread in range(4):
        workers.start(lambda thread=thread: write(thread))
    workers.join()
    before = partition.replica.totals()
    assert before == counted(partition)
    partition.close()
    partition = Partition(tmp_path / "p0", PartitionOptions(map_bytes=1 << 20))
    assert partition.replica.totals() == before
    partition.close()


def test_on_a_full_disk(small_disk: Path, rng: np.random.Generator) -> None:
    create_partition(small_disk / "p0", IDENTITY, 1 << 18)
    options = PartitionOptions(seal_patches=10**9, map_bytes=1 << 18)
    partition = Partition(small_disk / "p0", options)
    refused = 0
    for number in range(260):
        boxes = row_of_boxes(200, side=50)
        name, vectors = f"i{number % 240}", units(rng, 200)
        write = photo(name, boxes, vectors, version=number + 1, size=(99999, 99))
        try:
            partition.put([write], FINGERPRINT)
        except ResourceExhausted:
            refused += 1
        assert partition.replica.totals() == counted(partition)
    assert refused
    partition.close()


def spoil(directory: Path, what: bytes, at: int) -> None:
    """Flips a bit behind `what` wherever it is in the file of a store that is open and mapped."""
    path = directory / "lmdb/data.mdb"
    content = path.read_bytes()
    with path.open("r+b") as file:
        # Pages of old lie about too.
        place = content.find(what)
        while place >= 0:
            file.seek(place + at)
            file.write(bytes([content[place + at] ^ 1]))
            place = content.find(what, place + 1)


def test_what_rots_while_it_is_open(tmp_path: Path, rng: np.random.Generator) -> None:
    create_partition(tmp_path / "p0", IDENTITY, 1 << 20)
    options = PartitionOptions(seal_patches=10**9, map_bytes=1 << 20)
    partition = Partition(tmp_path / "p0", options)
    names = ["record", "patch", *(f"i{n}" for n in range(30))]
    writes = {name: photo(name, row_of_boxes(1), units(rng, 1), version=7) for name in names}
    partition.put(list(writes.values()), FINGERPRINT)
    partition.delete(["i3"], 9)
    whole = partition.replica.totals()
    spoil(tmp_path / "p0", b"file:///record", 9)
    vector = writes["patch"][1].vectors[0].astype(np.float16).tobytes()
    spoil(tmp_path / "p0", vector, 40)
    assert partition.replica.totals() == whole, "nobody has noticed yet"
    damages = partition.scrub().damages
    assert {damage.image_id for damage in damages} == {"record", "patch"}
    noticed = partition.replica.totals()
    assert noticed.digest != whole.digest and noticed.tombstones == 1
    # Of the same version, as another replica has it; and written anew.
    assert partition.replica.apply([writes["patch"]], [], {b"patch"})[0].applied
    assert partition.replica.apply([writes["record"]], [], {b"record"})[0].applied
    assert partition.replica.totals() == counted(partition) == whole
    assert partition.describe().damaged_images == 0
    partition.put([photo("record", [], units(rng, 0), version=8)], FINGERPRINT)
    assert partition.replica.totals() == counted(partition) != whole
    partition.close()
