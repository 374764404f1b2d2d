"""The filter index against plain Python: puts, replacements and deletions in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from patchsearch.filters import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    TimeRange,
)
from shard_service.store.patch_store import PatchStore
from tests.shard_service.filter_oracle import FILTERS, IMAGE_IDS, METADATA, meets
from tests.shard_service.filter_store import create, delete, opened, put

PUT = st.tuples(IMAGE_IDS, METADATA, st.sampled_from([0, 1, 3]))
BATCHES = st.lists(st.lists(PUT | IMAGE_IDS, min_size=1, max_size=6), min_size=1, max_size=4)
# Where chunks, and the halves of a sequence, end.
STARTS = st.sampled_from([0, (1 << 16) - 5, (1 << 32) - 5, (1 << 47) - 5])


@given(batches=BATCHES, filters=st.lists(FILTERS, min_size=1, max_size=6), start=STARTS)
@settings(deadline=None, max_examples=150)
def test_answers_are_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[Any]],
    filters: list[Filter],
    start: int,
) -> None:
    path = tmp_path_factory.mktemp("store") / "lmdb"
    create(path, next_sequence=start)
    store = opened(path)
    images: dict[str, tuple[int, dict[str, Any]]] = {}
    version = 0
    for batch in batches:
        operations: list[Any] = []
        for item in batch:
            version += 1
            if isinstance(item, str):
                operations.append(delete(item, version))
            else:
                operations.append(put(item[0], item[1], version=version, patches=item[2]))
        outcomes = store.commit(operations)
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(item, str):
                images.pop(item, None)
            elif item[2]:
                images[item[0]] = (outcome.first_sequence, item[1])
            else:
                images.pop(item[0], None)
        for _ in range(2):
            for filter in filters:
                expected = sorted(
                    sequence
                    for image_id, (sequence, metadata) in images.items()
                    if meets(filter, image_id, metadata)
                )
                commits, sequences = store.matching(filter)
                assert sequences.tolist() == expected
                assert commits == store.commits
        assert store.filter_problems() == []
        if version % 2:
            store.close()
            store = opened(path)
    store.close()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    create(tmp_path / "lmdb")
    store = opened(tmp_path / "lmdb")
    yield store
    store.close()


def found(store: PatchStore, filter: Filter) -> list[int]:
    return store.matching(filter)[1].tolist()  # type: ignore[no-any-return]


def test_types_are_distinct(store: PatchStore) -> None:
    values: list[Any] = [1, True, "1", "true", 0, False, "", None, -0.0, [], {}]
    store.commit([put(f"i{at}", {"a": value}, patches=1) for at, value in enumerate(values)])
    # Asked one after another: 1 and True are equal to Python, and the last answers are kept.
    for _ in range(2):
        assert found(store, Match("a", (1,))) == [0]
        assert found(store, Match("a", (True,))) == [1]
        assert found(store, Match("a", ("1",))) == [2]
        assert found(store, Match("a", (0,))) == [4, 8]
        assert found(store, Match("a", (False,))) == [5]
        assert found(store, Match("a", (False, "", 1.0))) == [0, 5, 6]
        assert found(store, Exists("a")) == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
        assert found(store, NumberRange("a", gte=-0.0, lte=1)) == [0, 4, 8]
        assert found(store, NumberRange("a", gt=-0.0)) == [0]


def test_nested_fields_lists_and_escapes(store: PatchStore) -> None:
    store.commit(
        [
            put("0", {"cams": [{"at": "front", "fov": 50}, {"at": "rear", "fov": 120}]}, patches=1),
            put("1", {"cams": {"at": ["rear", ["side", None]]}}, patches=1),
            put("2", {"cams.at": "rear", "c\\": 1}, patches=1),
            put("3", {"cams": [{"at": None}, None], "fov": [1, 10]}, patches=1),
        ]
    )
    assert found(store, Match("cams.at", ("rear",))) == [0, 1]
    assert found(store, Match("cams.at", ("side",))) == [1]
    assert found(store, Match("cams\\.at", ("rear",))) == [2]
    assert found(store, Exists("c\\\\")) == [2]
    assert found(store, Exists("cams")) == [0, 1, 3]
    assert found(store, Exists("cams.at")) == [0, 1]
    assert found(store, Not(Exists("cams.at"))) == [2, 3]
    # One element is to meet both bounds; of two conditions each may be met by another one.
    assert found(store, NumberRange("fov", gt=2, lt=9)) == []
    both = AllOf((NumberRange("fov", gt=2), NumberRange("fov", lt=9)))
    assert found(store, both) == [3]
    assert found(store, NumberRange("cams.fov", gte=120)) == [0]


def test_long_texts_and_paths_are_told_apart(store: PatchStore) -> None:
    long = "ä" * 400
    store.commit(
        [
            put("0", {long: "x"}, patches=1),
            put("1", {long + "b": "x", "a": long}, patches=1),
            put("2", {"a": long + "b", "o": {long: {long: long}}}, patches=1),
        ]
    )
    assert found(store, Match(long, ("x",))) == [0]
    assert found(store, Match(long + "b", ("x",))) == [1]
    assert found(store, Match("a", (long,))) == [1]
    assert found(store, Match("a", (long + "b",))) == [2]
    assert found(store, Match(f"o.{long}.{long}", (long,))) == [2]
    assert found(store, Exists(f"o.{long}")) == [2]
    store.commit([delete(str(at), 2) for at in range(3)])
    assert found(store, Exists("a")) == [] == store.filter_problems()
    for size in (199, 200, 201, 255, 256, 500, 511, 512):
        name, text = "k" * size, "v" * size
        (outcome,) = store.commit([put("i", {name: [text, True, 1.5, 0]}, version=size)])
        for filter in (
            Exists(name),
            Match(name, (text,)),
            Match(name, (True,)),
            NumberRange(name, gt=1),
        ):
            assert found(store, filter) == [outcome.first_sequence]
        assert found(store, Match(name, (text + "v",))) == found(store, Exists(name + "k")) == []


def test_numbers_that_are_none_and_metadata_that_is_none(store: PatchStore) -> None:
    odd = Struct()
    for key, number in (("nan", float("nan")), ("inf", float("inf")), ("huge", float(2**70))):
        odd.fields[key].number_value = number
    odd.fields["unset"].SetInParent()
    operations = [
        put("0", odd.SerializeToString(), patches=1),
        put("1", b"\xff\xff no Struct", patches=1),
        put("2", patches=1),
    ]
    store.commit(operations)
    assert found(store, Exists("nan")) == [0]
    assert found(store, NumberRange("nan", gte=-1e308)) == []
    assert found(store, NumberRange("inf", gte=1e308)) == [0]
    assert found(store, Match("huge", (float(2**70),))) == [0]
    assert found(store, Exists("unset")) == []
    assert found(store, Not(Exists("inf"))) == [1, 2]
    assert found(store, ImageIdPrefix("")) == [0, 1, 2]
    assert store.filter_problems() == []


def test_many_images_over_many_chunks(store: PatchStore) -> None:
    start = datetime(2022, 1, 1, tzinfo=UTC)
    sequences = []
    for at in range(0, 1000, 100):
        outcomes = store.commit(
            [
                put(
                    f"{'even' if number % 2 == 0 else 'odd'}/{number}",
                    {
                        "time": (start + timedelta(seconds=number)).isoformat(),
                        "number": number / 7,
                        "mod": str(number % 10),
                    },
                    patches=200,
                )
                for number in range(at, at + 100)
            ]
        )
        sequences += [outcome.first_sequence for outcome in outcomes]
    assert sequences[-1] > 2 << 16
    half = TimeRange("time", gte=start + timedelta(seconds=250), lt=start + timedelta(seconds=750))
    assert found(store, half) == sequences[250:750]
    assert found(store, NumberRange("number", gt=500 / 7)) == sequences[501:]
    assert found(store, Match("number", (5 / 7, 998 / 7))) == [sequences[5], sequences[998]]
    assert found(store, Match("mod", ("3",))) == sequences[3::10]
    assert found(store, AllOf((half, Match("mod", ("3",))))) == sequences[253:750:10]
    assert found(store, AllOf((half, Not(ImageIdPrefix("even/"))))) == sequences[251:750:2]
    either = AnyOf((Match("number", (0.0,)), Not(Match("mod", tuple("12345678")))))
    assert found(store, either) == sorted(sequences[0::10] + sequences[9::10])
    store.commit([delete(f"odd/{number}", 2) for number in range(1, 1000, 2)])
    assert found(store, half) == sequences[250:750:2]
    assert store.filter_problems() == []


def test_answers_cannot_be_changed_by_who_gets_them(store: PatchStore) -> None:
    store.commit([put("0")])
    with pytest.raises(ValueError, match="read-only"):
        store.matching(Exists("a"))[1][:] = 1
