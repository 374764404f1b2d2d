"""Scrubbing the filter index: what is damaged is told, and made anew from the images."""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from patchsearch.filters import Match
from shard_service.maintenance.scrubbing import ScrubReport
from shard_service.search.query import PartitionQuery
from tests.chaos.partition.facts import packed
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.test_scrub import filled


def spoil_filters(directory: Path, how: str) -> int:
    """Damages the filter index behind LMDB's back; how many of its keys."""
    env = lmdb.open(str(directory / "lmdb"), max_dbs=4)
    try:
        filters = env.open_db(b"filters", create=False)
        with env.begin(write=True, db=filters) as txn:
            with txn.cursor() as cursor:
                items = list(cursor)
            for key, value in items:
                if how == "flipped":
                    txn.put(key, bytes([*value[:-1], value[-1] ^ 1]))
                else:
                    txn.delete(key)
        return len(items)
    finally:
        env.close()


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_filter_index_that_is_damaged_is_told_and_made_anew(
    opened: Opened, rng: np.random.Generator, how: str
) -> None:
    partition = opened()
    oracle = filled(partition, rng)
    facts = packed({f"field{n}": f"value {n}" for n in range(30)})
    partition.put([photo("told", row_of_boxes(2), units(rng, 2), metadata=facts)], FINGERPRINT)
    partition.delete(["told"], 7)
    partition.put(
        [photo("told", row_of_boxes(2), units(rng, 2), version=8, metadata=facts)], FINGERPRINT
    )
    opened.close()
    keys = spoil_filters(opened.directory, how)
    assert keys > 40

    partition = opened()
    told = []

    def watch() -> None:
        told.append(partition.describe().activity)

    report = partition.scrub(watch)
    assert {damage.place for damage in report.damages} == {"filters"}
    assert all("made anew" in one.detail and not one.image_id for one in report.damages)
    # Not every key of a large index.
    assert len(report.damages) == 21 and "more problems" in report.damages[-1].detail
    assert any("filter index" in activity for activity in told)
    # No image is damaged, and nothing has to be built again.
    state = partition.describe()
    assert (state.damaged_images, state.activity, state.sealed_segments) == (0, "", 1)
    assert partition.scrub().damages == ()
    query = PartitionQuery(units(rng, 1)[0], 10, filter=Match("field3", ("value 3",)))
    assert {hit.image.image_id for hit in partition.search(query, FINGERPRINT).hits} == {b"told"}
    assert oracle.patches + 2 == state.patches


def test_a_filter_index_that_cannot_be_made_anew_is_told_all_the_same(
    small_disk: Path, rng: np.random.Generator
) -> None:
    opened = Opened(small_disk / "p0")
    facts = packed({"weather": "snow"})
    writes = [photo(f"i{n}", row_of_boxes(3), units(rng, 3), metadata=facts) for n in range(40)]
    try:
        opened().put(writes, FINGERPRINT)
        opened.close()
        spoil_filters(opened.directory, "flipped")
        partition = opened()
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        report = partition.scrub()
        assert report.images == 40 and report.damages
        assert all("not made anew: no space left" in one.detail for one in report.damages)
        ballast.unlink()
        assert all("; made anew" in one.detail for one in partition.scrub().damages)
        assert partition.scrub().damages == ()
    finally:
        opened.close()


def test_writes_and_searches_beside_a_scrub_of_the_filter_index(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    partition = opened(map_bytes=1 << 20)
    partition.put(
        [
            photo(f"i{n}", row_of_boxes(1), units(rng, 1), metadata=packed({"number": float(n)}))
            for n in range(600)
        ],
        FINGERPRINT,
    )
    reports: list[ScrubReport] = []
    workers.start(lambda: reports.extend(partition.scrub() for _ in range(3)))
    number = 0
    # Far more than the map had room for when it was opened.
    while len(reports) < 3 or number < 30:
        number += 1
        batch = [
            photo(f"w{number}-{n}", row_of_boxes(20), units(rng, 20), metadata=packed({"a": 1.0}))
            for n in range(4)
        ]
        assert partition.put(batch, FINGERPRINT) == [True] * 4
        query = PartitionQuery(units(rng, 1)[0], 5, filter=Match("a", (1.0,)))
        assert len(partition.search(query, FINGERPRINT).hits) == 5
    workers.join()
    assert [report.damages for report in reports] == [()] * 3
