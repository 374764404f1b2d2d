"""Router and shards answer exactly what brute force answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchsearch.filter_field import Field
from patchsearch.filters import Filter, ImageIdPrefix, Match
from patchsearch.geometry import Box
from tests.contract.doors import Door, OracleDoor, RouterDoor
from tests.contract.fake_encoder import vector_of
from tests.contract.oracle import FoundPatch
from tests.shard_service.filter_oracle import FILTERS, METADATA

# Few seeds and few places: ties, identical vectors and overlaps are the rule.
seeds = st.integers(0, 11)
boxes = st.builds(
    Box,
    st.integers(0, 6).map(lambda n: n * 50),
    st.integers(0, 3).map(lambda n: n * 50),
    st.sampled_from([50, 60, 120]),
    st.sampled_from([50, 60, 120]),
)
patches = st.dictionaries(boxes, seeds, min_size=1, max_size=8).map(lambda d: list(d.items()))
collections = st.dictionaries(st.text(min_size=1, max_size=4), patches, min_size=0, max_size=12)


def unit(vector: np.ndarray) -> np.ndarray:
    wide = vector.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)


queries = st.one_of(
    seeds.map(vector_of),
    st.tuples(seeds, seeds, st.floats(0.1, 1)).map(
        lambda d: unit(vector_of(d[0]) + np.float32(d[2]) * vector_of(d[1] + 1))
    ),
)


def same(found: list[FoundPatch], expected: list[FoundPatch]) -> None:
    assert [(h.image_id, h.box) for h in found] == [(h.image_id, h.box) for h in expected]
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-6)
    for mine, right in zip(found, expected, strict=True):
        assert [box for box, _ in mine.suppressed] == [box for box, _ in right.suppressed]
        assert [score for _, score in mine.suppressed] == pytest.approx(
            [score for _, score in right.suppressed], abs=1e-6
        )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    collections,
    queries,
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.floats(-1, 1, width=32)),
)
def test_hits_are_those_of_brute_force_for_every_k(
    clean_router: Callable[[], RouterDoor],
    images: dict[str, list[tuple[Box, int]]],
    query: np.ndarray,
    exact: bool,
    keep_overlapping: bool,
    threshold: float | None,
) -> None:
    router, oracle = clean_router(), OracleDoor()
    if images:
        router.put_all(list(images.items()))
    for image_id, own in images.items():
        oracle.put(image_id, own)
    total = sum(map(len, images.values()))
    for k in {1, 2, 3, max(1, total // 2), total + 1, 1000}:
        same(
            router.search(
                query, k, exact=exact, threshold=threshold, keep_overlapping=keep_overlapping
            ),
            oracle.search(query, k, threshold=threshold, keep_overlapping=keep_overlapping),
        )


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    collections,
    st.lists(METADATA, min_size=12, max_size=12),
    st.lists(FILTERS, min_size=6, max_size=6),
    queries,
    st.none() | st.sampled_from([1, 64, 4096]),
    st.none() | st.sampled_from([1, 65536]),
    st.none() | st.sampled_from([1.0, 100.0]),
)
def test_filters_and_effort_change_nothing_but_what_they_say(
    clean_router: Callable[[], RouterDoor],
    images: dict[str, list[tuple[Box, int]]],
    metadata: list[dict[str, object]],
    filters: list[Filter],
    query: np.ndarray,
    ef: int | None,
    nprobe: int | None,
    oversample: float | None,
) -> None:
    router, oracle = clean_router(), OracleDoor()
    told = dict(zip(images, metadata, strict=False))
    if images:
        router.put_all(list(images.items()), metadata=told)
    for image_id, own in images.items():
        oracle.put(image_id, own, metadata=told[image_id])
    for filter in filters:
        for k in (1, 3, 1000):
            same(
                router.search(query, k, filter=filter, ef=ef, nprobe=nprobe, oversample=oversample),
                oracle.search(query, k, filter=filter),
            )


def test_every_k_of_a_crowded_collection(router: RouterDoor) -> None:
    oracle = OracleDoor()
    draw = np.random.default_rng(3)
    images: list[tuple[str, list[tuple[Box, int]]]] = []
    for number in range(30):
        places = {
            Box(int(x) * 40, int(y) * 40, int(side), int(side)): int(seed)
            for x, y, side, seed in zip(
                draw.integers(0, 20, 20),
                draw.integers(0, 20, 20),
                draw.choice([50, 100], 20),
                draw.integers(0, 40, 20),
                strict=True,
            )
        }
        images.append((f"frame/{number:03}", list(places.items())))
    router.put_all(images)
    for image_id, own in images:
        oracle.put(image_id, own)
    query = vector_of(7)
    everything = oracle.search(query, 1000)
    assert len(everything) > 200
    for k in [*range(1, 40), *range(40, len(everything), 11), len(everything) + 1]:
        same(router.search(query, k, exact=bool(k % 2)), everything[:k])


def test_a_filter_follows_the_metadata_of_the_last_write(empty: Door) -> None:
    box = [(Box(0, 0, 50, 50), 1)]
    snow, fast = Match("weather", ("snow",)), Field("speed") > 10
    empty.put("a/1", box, metadata={"weather": "snow", "speed": 5})
    empty.put("a/2", box, metadata={"weather": "rain", "speed": 50, "tags": ["night"]})
    empty.put("b/1", box)

    def found(filter: Filter, k: int = 10) -> list[str]:
        return [hit.image_id for hit in empty.search(vector_of(2), k, filter=filter)]

    assert found(snow) == ["a/1"]
    assert found(snow | fast) == ["a/1", "a/2"]
    assert found(~snow) == ["a/2", "b/1"]
    assert found(ImageIdPrefix("a/") & fast) == found(Match("tags", ("night",))) == ["a/2"]
    assert found(Field("speed").exists(), 1) == ["a/1"]
    empty.put("a/1", box, metadata={"weather": "rain"})
    empty.put("b/1", box, metadata={"weather": "snow"})
    assert found(snow) == ["b/1"]
    empty.delete("b/1")
    assert found(snow) == []
    assert found(~snow) == ["a/1", "a/2"]


def test_an_empty_collection_answers_with_no_hits(empty: Door) -> None:
    assert empty.search(vector_of(1), 10) == []
    assert empty.ids() == []
    assert empty.delete("a") == []


def test_the_same_id_again_replaces_the_image_whole(empty: Door) -> None:
    old, new = Box(0, 0, 50, 50), Box(500, 500, 50, 50)
    empty.put("a", [(old, 1), (Box(100, 0, 50, 50), 2)])
    empty.put("b", [(old, 3)])
    empty.put("a", [(new, 4)])
    assert empty.boxes("a") == [new]
    assert {(h.image_id, h.box) for h in empty.search(vector_of(1), 10)} == {
        ("a", new),
        ("b", old),
    }
    assert empty.search(vector_of(4), 1)[0].box == new


def test_a_deleted_image_is_gone_until_it_is_stored_again(empty: Door) -> None:
    box = Box(0, 0, 50, 50)
    for name in ("a", "b", "c"):
        empty.put(name, [(box, 1)])
    assert empty.delete("b", "never", "c", "b") == ["b", "c"]
    assert empty.delete("b") == []
    assert empty.ids() == ["a"]
    assert empty.boxes("b") is None
    assert [h.image_id for h in empty.search(vector_of(1), 10)] == ["a"]
    empty.put("b", [(box, 2)])
    assert empty.ids() == ["a", "b"]


def test_overlapping_patches_of_one_image_are_one_hit_of_two_images_two(empty: Door) -> None:
    here, shifted, apart = Box(0, 0, 100, 100), Box(99, 99, 100, 100), Box(100, 0, 50, 50)
    empty.put("a", [(here, 1), (shifted, 1), (apart, 1)])
    empty.put("b", [(shifted, 1)])
    hits = [(h.image_id, h.box) for h in empty.search(vector_of(1), 10)]
    assert hits == [("a", here), ("a", apart), ("b", shifted)]
    kept = [(h.image_id, h.box) for h in empty.search(vector_of(1), 10, keep_overlapping=True)]
    assert kept == [("a", here), ("a", shifted), ("a", apart), ("b", shifted)]


def test_a_threshold_leaves_out_what_is_below(empty: Door) -> None:
    empty.put("a", [(Box(0, 0, 50, 50), 1)])
    empty.put("b", [(Box(0, 0, 50, 50), 2)])
    (first, second) = empty.search(vector_of(1), 10)
    assert first.score == pytest.approx(1, abs=1e-3)
    assert [h.image_id for h in empty.search(vector_of(1), 10, threshold=first.score)] == ["a"]
    assert len(empty.search(vector_of(1), 10, threshold=second.score)) == 2
    assert empty.search(-vector_of(1), 10, threshold=0.5) == []
