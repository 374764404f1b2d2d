"""Damage in the filter index: it is noticed, never answered from, and healed from the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from patchsearch.filters import AllOf, Exists, Filter, Match, Not, NumberRange, TimeRange
from shard_service.filters.damage import FiltersDamaged
from shard_service.store.images import RebuildFilters
from shard_service.store.patch_store import PatchStore
from shard_service.store.records import encode_image
from tests.shard_service.filter_store import create, delete, opened, put, raw


def metadata(number: int) -> dict[str, Any]:
    return {
        "weather": ["sun", "snow"][number % 2],
        "night": number % 3 == 0,
        "speed": number / 2,
        "time": f"2022-03-01T10:15:{number:02d}Z",
    }


FILTERS: list[Filter] = [
    Match("weather", ("snow",)),
    Not(Match("night", (True,))),
    NumberRange("speed", gt=5),
    TimeRange("time"),
    Exists("weather"),
    AllOf((Exists("time"), NumberRange("speed", lte=20))),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lmdb"
    create(path)
    store = opened(path)
    store.commit([put(f"i{number}", metadata(number)) for number in range(60)])
    store.close()
    return path


def answers(path: Path) -> list[list[int]]:
    store = opened(path)
    try:
        return [store.matching(filter)[1].tolist() for filter in FILTERS]
    finally:
        store.close()


def keys(path: Path) -> list[bytes]:
    with raw(path, b"filters") as txn:
        return [key for key, _ in txn.cursor()]


def change(path: Path, key: bytes, value: bytes) -> bytes:
    with raw(path, b"filters") as txn:
        before: bytes = txn.replace(key, value)
        return before


def damaged(value: bytes, kind: str) -> bytes:
    if kind == "bit":
        at = len(value) // 2
        return value[:at] + bytes((value[at] ^ 1,)) + value[at + 1 :]
    return {"cut": value[:-1], "zeroed": bytes(len(value)), "short": value[:3]}[kind]


@pytest.mark.parametrize("kind", ["bit", "cut", "zeroed", "short"])
def test_every_damaged_value_is_noticed_and_the_rest_still_answers(path: Path, kind: str) -> None:
    right = answers(path)
    noticed = set()
    for key in keys(path):
        before = change(path, key, b"")
        change(path, key, damaged(before, kind))
        store = opened(path)
        for at, filter in enumerate(FILTERS):
            try:
                assert store.matching(filter)[1].tolist() == right[at]
            except FiltersDamaged as damage:
                assert damage.key == key and damage.reason == "STORE_CORRUPT"
                noticed.add(at)
        assert any(key.hex() in problem for problem in store.filter_problems())
        store.commit([RebuildFilters()])
        assert store.filter_problems() == []
        store.close()
        assert answers(path) == right
    assert noticed == set(range(len(FILTERS)))


def test_values_that_changed_places_are_noticed(path: Path) -> None:
    stored = keys(path)
    first, second = [key for key in stored if key.startswith(b"b")][:2]
    change(path, second, change(path, first, change(path, second, b"")))
    store = opened(path)
    with pytest.raises(FiltersDamaged):
        store.matching(Match("night", (True,)))
    assert len(store.filter_problems()) == 2
    store.close()


def test_a_write_that_meets_damage_heals_it(path: Path) -> None:
    for key in keys(path):
        change(path, key, damaged(change(path, key, b""), "bit"))
    store = opened(path)
    commits = store.commits
    store.commit([put("i1", metadata(2), version=2), delete("i2", 2)])
    assert store.commits == commits + 1
    assert store.filter_problems() == []
    expected = [2 * number for number in range(3, 60, 2)] + [120]
    assert store.matching(Match("weather", ("snow",)))[1].tolist() == expected[:-1]
    assert store.matching(NumberRange("speed", gte=1, lt=2))[1].tolist() == [6, 120]
    store.close()


def test_appending_to_a_damaged_column_does_not_cover_it_up(path: Path) -> None:
    (key,) = (key for key in keys(path) if key.startswith(b"n"))
    change(path, key, damaged(change(path, key, b""), "bit"))
    store = opened(path)
    store.commit([put("new", {"speed": 1})])
    with pytest.raises(FiltersDamaged):
        store.matching(NumberRange("speed", gt=5))
    store.commit([RebuildFilters()])
    assert store.matching(NumberRange("speed", gte=1, lte=1))[1].tolist() == [4, 120]
    store.close()


def test_what_is_missing_and_what_is_too_much_is_told(path: Path) -> None:
    for key in keys(path):
        with raw(path, b"filters") as txn:
            txn.delete(key)
        store = opened(path)
        (problem,) = store.filter_problems()
        assert "lacks" in problem and key.hex() in problem
        store.commit([RebuildFilters()])
        store.close()
    with raw(path, b"images") as txn:
        kept = txn.get(b"i7")
        txn.delete(b"i7")
    store = opened(path)
    # Nothing shows an image that is not there; an image under what it has not is another thing.
    assert store.filter_problems() == []
    store.commit([RebuildFilters()])
    store.close()
    with raw(path, b"images") as txn:
        txn.put(b"i7", kept)
    store = opened(path)
    assert store.filter_problems()
    store.close()


def test_an_image_under_a_term_that_it_has_not_is_told(path: Path) -> None:
    # Its metadata goes behind the back of the index.
    with raw(path, b"images") as txn:
        txn.put(b"i7", encode_image(put("i7").image, 14, 2))
    store = opened(path)
    (problem,) = store.filter_problems()
    assert "9 entries too many" in problem
    store.commit([RebuildFilters()])
    assert store.filter_problems() == []
    store.close()


def test_a_damaged_image_record_leaves_no_trace_in_answers(path: Path) -> None:
    with raw(path, b"images") as txn:
        record = bytearray(txn.get(b"i7"))
        # Its version, which must not stand in the way of the write that heals it.
        record[31] ^= 0x40
        txn.put(b"i7", bytes(record))
    store = opened(path)
    assert store.filter_problems() == []
    (outcome,) = store.commit([put("i7", {"weather": "sun"}, version=2)])
    assert outcome.applied and outcome.displaced is None
    live = {image.first_sequence for image in store.live_images(lambda damage: None)}
    assert len(live) == 60
    for filter in (*FILTERS, *(Not(filter) for filter in FILTERS)):
        sequences = store.matching(filter)[1].tolist()
        assert len(set(sequences) & live) + len(set(store.matching(Not(filter))[1]) & live) == 60
    assert 120 in store.matching(Match("weather", ("sun",)))[1]
    assert store.filter_problems() == []
    store.close()


def test_answers_belong_to_their_commit(path: Path) -> None:
    store: PatchStore = opened(path)
    filter = Match("weather", ("fog",))
    seen = []
    for number in range(3):
        before = store.matching(filter)
        store.commit([put(f"fog{number}", {"weather": "fog"})])
        assert store.matching(filter)[0] == before[0] + 1 == store.commits
        seen.append(len(store.matching(filter)[1]))
    assert seen == [1, 2, 3]
    # What changes nothing is no commit.
    store.commit([put("fog0", {"weather": "sun"})])
    assert store.matching(filter)[0] == store.commits
    assert len(store.matching(filter)[1]) == 3
    store.close()
