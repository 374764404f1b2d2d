from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.errors import FailedPrecondition
from placement.document import (
    HASH_END,
    Placement,
    load_placement,
    parse_placement,
    placement_document,
)

GOOD: dict[str, Any] = {
    "epoch": 3,
    "partitions": [
        {
            "id": "high",
            "hash_start": "8000000000000000",
            "hash_end": "ffffffffffffffff",
            "replicas": ["b"],
        },
        {
            "id": "low",
            "hash_start": "0000000000000000",
            "hash_end": "7fffffffffffffff",
            "replicas": ["a"],
        },
    ],
    "shards": {"a": "127.0.0.1:7101", "b": "[::1]:7103"},
}


def tiled(edges: list[int]) -> Placement:
    starts = [0, *edges]
    ends = [e - 1 for e in edges] + [HASH_END]
    return parse_placement(
        {
            "epoch": 1,
            "partitions": [
                {
                    "id": f"p{i}",
                    "hash_start": f"{s:016x}",
                    "hash_end": f"{e:016x}",
                    "replicas": ["a"],
                }
                for i, (s, e) in enumerate(zip(starts, ends, strict=True))
            ],
            "shards": {"a": "localhost:1"},
        }
    )


def test_a_good_placement_is_ordered_by_range_and_knows_its_shards() -> None:
    placement = parse_placement(GOOD)
    assert placement.epoch == 3
    assert [p.id for p in placement.partitions] == ["low", "high"]
    assert {a: [p.id for p in ps] for a, ps in placement.written_by_address().items()} == {
        "127.0.0.1:7101": ["low"],
        "[::1]:7103": ["high"],
    }


def test_replicas_and_those_that_join_are_kept_apart_and_written_to_alike() -> None:
    document = partition(0, replicas=["b"], joining=["a"])
    placement = parse_placement(document)
    high = placement.partition("high")
    assert high is not None
    assert [r.shard for r in high.replicas] == ["b"]
    assert [r.shard for r in high.joining] == ["a"]
    assert [r.shard for r in high.written] == ["b", "a"]
    assert {p.id for p in placement.written_by_address()["127.0.0.1:7101"]} == {"low", "high"}
    assert parse_placement(placement_document(placement)) == placement


@given(
    st.lists(st.integers(1, HASH_END), unique=True, max_size=20).map(sorted),
    st.integers(0, HASH_END),
)
def test_every_hash_falls_into_the_one_range_that_holds_it(edges: list[int], value: int) -> None:
    placement = tiled(edges)
    found = placement.partition_of_hash(value)
    assert [p for p in placement.partitions if p.hash_start <= value <= p.hash_end] == [found]


@given(st.text())
def test_an_image_belongs_where_the_hash_of_its_utf8_bytes_falls(image_id: str) -> None:
    placement = tiled([2**62, 2**63])
    value = xxhash.xxh64(image_id.encode()).intdigest()
    partition = placement.partition_of(image_id)
    assert partition.hash_start <= value <= partition.hash_end


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


def partition(index: int, **changes: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    document["partitions"][index].update(changes)
    return document


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "placement must be a JSON object"),
        (changed(epoch=-1), "epoch"),
        (changed(epoch=True), "epoch"),
        (changed(epoch="1"), "epoch"),
        (changed(partitions=[]), "partitions must be a list"),
        (changed(partitions=["p"]), r"partitions\[0\] must be"),
        (changed(shards=[]), "shards must be"),
        (changed(shards={"a": "127.0.0.1", "b": "x:1"}), r"shards\['a'\]"),
        (changed(shards={"a": "127.0.0.1:0", "b": "x:1"}), r"shards\['a'\]"),
        (changed(shards={"a": "127.0.0.1:65536", "b": "x:1"}), r"shards\['a'\]"),
        (partition(0, id="Upper"), r"partitions\[0\]\.id"),
        (partition(0, id="low"), "'low' is there twice"),
        (partition(1, hash_start="0"), r"partitions\[1\]\.hash_start"),
        (partition(1, hash_start=0), r"partitions\[1\]\.hash_start"),
        (partition(1, hash_start="ffffffffffffffff"), "behind its end"),
        (partition(1, hash_start="0000000000000001"), "'low'.* leaves a gap"),
        (partition(1, hash_end="8000000000000000"), "'high'.* overlaps"),
        (partition(1, hash_end="7ffffffffffffffe"), "'high'.* leaves a gap"),
        (partition(0, hash_end="fffffffffffffffe"), "'high'.* is the last"),
        (partition(0, replicas=[]), r"partitions\[0\]\.replicas"),
        (partition(0, replicas=["a", "a"]), "names shard 'a' twice"),
        (partition(0, replicas=["a"], joining=["a"]), "names shard 'a' twice"),
        (partition(0, joining=["c"]), "not in shards"),
        (partition(0, joining="b"), r"partitions\[0\]\.joining"),
        (partition(0, replicas=["c"]), "not in shards"),
        (partition(0, replicas=[["a"]]), "not in shards"),
    ],
)
def test_a_bad_placement_is_refused_by_the_place(document: Any, place: str) -> None:
    with pytest.raises(FailedPrecondition, match=place) as caught:
        parse_placement(document)
    assert caught.value.reason == "PLACEMENT_INVALID"


@pytest.mark.parametrize(
    ("content", "says"), [(b"{,}", ":1:2"), (b"\xff", "UTF-8"), (None, "cannot be read")]
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "placement.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FailedPrecondition, match=says) as caught:
        load_placement(path)
    assert str(path) in caught.value.message


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    path.write_text(json.dumps(GOOD))
    assert load_placement(path) == parse_placement(GOOD)
