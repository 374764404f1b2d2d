"""Filters through searches: all that meets them is found and nothing else, at every moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from patchsearch.filter_field import Field
from patchsearch.filters import Filter, ImageIdPrefix, Match
from shard_service.partition import Partition
from shard_service.search.query import PartitionQuery
from shard_service.store.images import Image, PatchRows
from tests.shard_service.conftest import Opened, Workers
from tests.shard_service.material import DIM, FINGERPRINT, clustered, photo, row_of_boxes, units
from tests.shard_service.oracle import Oracle, found
from tests.shard_service.partition_material import packed

# So few rows that all are read, whatever their segments have: answers are the oracle's.
IMAGES, PATCHES = 240, 3
CENTRES = np.random.default_rng(1).standard_normal((30, DIM))


def metadata_of(number: int) -> dict[str, Any]:
    """Every kind of value, each kept by another share of the images."""
    return {
        "weather": ["snow", "rain", "sun", "fog"][number % 4],
        "speed": number / 2,
        "rare": number % 100 == 7,
        "taken": f"2022-03-{1 + number % 28:02}T10:15:00Z",
        "tags": ["night"] * (number % 3 == 0) + ["city"] * (number % 5 == 0),
        "camera": {"front": number % 2 == 0},
        **({"note": None} if number % 2 else {"note": "x"}),
    }


def written(number: int, rng: np.random.Generator, **values: Any) -> tuple[Image, PatchRows]:
    metadata = packed({**metadata_of(number), **values.pop("metadata", {})})
    vectors = clustered(rng, CENTRES, PATCHES)
    image_id = f"cam{number % 3}/{number:03}"
    return photo(image_id, row_of_boxes(PATCHES, 80), vectors, metadata=metadata, **values)


FILTERS: dict[str, Filter] = {
    "equal": Match("weather", ("snow",)),
    "flag": Match("rare", (True,)),
    "in": Field("weather").is_in("snow", "fog", "hail"),
    "numbers": Field("speed").is_in(3, 3.5, 119),
    "range": Field("speed").between(10, 60),
    "open range": Field("speed") > 110,
    "times": Field("taken").between(
        datetime(2022, 3, 3, tzinfo=UTC), datetime(2022, 3, 4, 10, 15, tzinfo=UTC)
    ),
    "exists": Field("note").exists(),
    "list": Match("tags", ("night",)),
    "nested": Match("camera.front", (False,)),
    "prefix": ImageIdPrefix("cam1/"),
    "and": Match("weather", ("snow",)) & (Field("speed") < 50) & ImageIdPrefix("cam0/"),
    "or": Match("rare", (True,)) | (Field("speed") <= 1),
    "not": ~(Match("tags", ("night",)) | Match("camera.front", (True,))),
    "one": ImageIdPrefix("cam0/003"),
    "none": Match("weather", ("hail",)),
    "none of a type": Match("weather", (True, 1.0)),
    "all": ~Match("weather", ("hail",)),
}


@pytest.fixture(scope="module", params=["growing", "sealed", "both", "worn"])
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Partition, Oracle]]:
    """All rows grow, or are sealed, or half and half, or many of the sealed ones are gone."""
    opened = Opened(tmp_path_factory.mktemp("filled") / "p0")
    partition, oracle, rng = opened(), Oracle(), np.random.default_rng(20141)

    def put(*numbers: int, **values: Any) -> None:
        writes = [written(number, rng, **values) for number in numbers]
        assert partition.put(writes, FINGERPRINT) == oracle.put(*writes)

    put(*range(IMAGES // 2))
    if request.param in ("both", "worn"):
        partition.seal()
    put(*range(IMAGES // 2, IMAGES))
    if request.param in ("sealed", "worn"):
        partition.seal()
    if request.param == "worn":
        gone = [f"cam{number % 3}/{number:03}" for number in range(0, IMAGES, 7)]
        assert partition.delete(gone, 2) == oracle.delete(gone, 2)
        # Written again with other metadata: the index must forget what was there.
        put(*range(0, IMAGES, 5), version=3, metadata={"weather": "snow", "rare": False})
    yield partition, oracle
    opened.close()


@pytest.mark.parametrize("name", FILTERS)
def test_what_meets_a_filter_is_found_and_nothing_else(
    filled: tuple[Partition, Oracle], name: str
) -> None:
    partition, oracle = filled
    filter = FILTERS[name]
    for k, exact in ((1, False), (16, False), (16, True), (1000, False)):
        for vector in units(np.random.default_rng(5), 2):
            query = PartitionQuery(vector, k, exact=exact, filter=filter)
            assert found(partition.search(query, FINGERPRINT)) == oracle.search(query)


def test_the_filters_keep_different_shares(rng: np.random.Generator) -> None:
    """Otherwise the tests of this file would prove little."""
    oracle = Oracle()
    oracle.put(*(written(number, rng) for number in range(IMAGES)))
    shares = [
        len(
            oracle.search(
                PartitionQuery(units(rng, 1)[0], 5000, keep_overlapping=True, filter=filter)
            )
        )
        for filter in FILTERS.values()
    ]
    assert sorted(shares)[:3] == [0, 0, PATCHES] and max(shares) == IMAGES * PATCHES
    assert len(set(shares)) >= 12


@pytest.mark.parametrize("profile", ["graph", "compact", "hnsw"])
def test_filters_that_an_index_answers_lose_no_hits(
    opened: Opened, rng: np.random.Generator, profile: str
) -> None:
    partition, oracle = opened(profile=profile), Oracle()
    writes = [
        photo(
            f"i{number}",
            row_of_boxes(20, 80),
            clustered(rng, CENTRES, 20),
            metadata=packed({"number": number, "part": number % 10}),
        )
        for number in range(300)
    ]
    partition.put(writes, FINGERPRINT)
    oracle.put(*writes)
    assert partition.seal() == 6000
    asked = 0
    for filter in (Field("part") < 5, Field("part").equals(3), Field("number") < 4):
        agreed = total = 0
        for vector in clustered(rng, CENTRES, 8):
            query = PartitionQuery(vector, 16, filter=filter)
            expected = oracle.search(query)
            answer = partition.search(query, FINGERPRINT)
            hits = found(answer)
            assert len(hits) == len(expected) == 16
            assert {hit[:3] for hit in hits} <= {
                hit[:3] for hit in oracle.search(PartitionQuery(vector, 6000, filter=filter))
            }
            asked += answer.candidates_read < 400
            agreed += len(set(hits) & set(expected))
            total += 16
        assert agreed / total >= 0.98
    # Where many rows meet it, the index was asked and not all of them read.
    assert asked > 0


def test_a_write_is_seen_by_the_next_filtered_search(
    partition: Partition, rng: np.random.Generator
) -> None:
    vector = units(rng, 1)
    sought = Match("state", ("sought",))
    query = PartitionQuery(vector[0], 5, filter=sought)

    def put(version: int, state: str) -> None:
        metadata = packed({"state": state})
        write = photo("a", row_of_boxes(1), vector, version=version, metadata=metadata)
        assert partition.put([write], FINGERPRINT) == [True]

    for version in range(1, 40, 3):
        put(version, "sought")
        (hit,) = partition.search(query, FINGERPRINT).hits
        assert hit.image.version == version
        if version % 2:
            put(version + 1, "left")
        else:
            partition.delete(["a"], version + 1)
        assert partition.search(query, FINGERPRINT).hits == ()


def test_what_always_meets_a_filter_is_never_missing_while_it_is_replaced(
    opened: Opened, workers: Workers, rng: np.random.Generator
) -> None:
    """One answer, one moment: a new version is not looked for with the filter of the old one."""
    partition = opened(seal_patches=400)
    steady = units(rng, 12)
    done = threading.Event()

    def write(number: int, version: int) -> tuple[Image, PatchRows]:
        # Always "kept"; now and then in another list of images that have it.
        metadata = packed({"kept": True, "version": version, "odd": bool(version % 2)})
        vectors = steady[number : number + 1]
        return photo(f"s{number:02}", row_of_boxes(1), vectors, version=version, metadata=metadata)

    filler = [photo(f"f{n}", row_of_boxes(6), units(rng, 6)) for n in range(60)]
    partition.put(filler + [write(number, 1) for number in range(12)], FINGERPRINT)
    replaced = [0]

    def replace() -> None:
        order = np.random.default_rng(3)
        version = 1
        while not done.is_set():
            version += 1
            number = int(order.integers(12))
            partition.put([write(number, version)], FINGERPRINT)
            # Read your writes, through the filter.
            query = PartitionQuery(steady[number], 1, filter=Match("version", (float(version),)))
            (hit,) = partition.search(query, FINGERPRINT).hits
            assert (hit.image.image_id, hit.image.version) == (f"s{number:02}".encode(), version)
            replaced[0] += 1

    searches = [0]

    def search() -> None:
        order = np.random.default_rng(4)
        odd = Match("odd", (True,))
        while not done.is_set():
            vector = steady[int(order.integers(12))]
            hits = partition.search(
                PartitionQuery(vector, 100, filter=Match("kept", (True,))), FINGERPRINT
            ).hits
            assert sorted(hit.image.image_id for hit in hits) == [
                f"s{number:02}".encode() for number in range(12)
            ]
            hits = partition.search(PartitionQuery(vector, 100, filter=odd), FINGERPRINT).hits
            assert all(hit.image.version % 2 for hit in hits)
            searches[0] += 1

    workers.start(replace)
    workers.start(search)
    workers.start(search)
    try:
        partition.seal()
        for _ in range(4):
            done.wait(0.4)
            partition.compact()
    finally:
        done.set()
        workers.join()
    assert replaced[0] > 20 and searches[0] > 20
