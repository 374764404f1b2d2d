from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.errors import FailedPrecondition
from patchsearch.serving.placement_file import new_placement, update_placement


@given(st.integers(1, 64))
def test_the_ranges_tile_the_hash_space(count: int) -> None:
    placement = new_placement({f"shard-{n}": f"127.0.0.1:{n + 1}" for n in range(count)})

    bounds = [(int(p["hash_start"], 16), int(p["hash_end"], 16)) for p in placement["partitions"]]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 2**64 - 1
    assert all(end + 1 == start for (_, end), (start, _) in pairwise(bounds))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(p["hash_start"]) == len(p["hash_end"]) == 16 for p in placement["partitions"])


def test_only_a_new_address_makes_a_new_epoch(tmp_path: Path) -> None:
    file = tmp_path / "placement.json"
    update_placement(file, {"shard-0": "127.0.0.1:1"})
    first = json.loads(file.read_text())
    written = file.stat().st_mtime_ns

    update_placement(file, {"shard-0": "127.0.0.1:1"})
    assert file.stat().st_mtime_ns == written

    update_placement(file, {"shard-0": "127.0.0.1:2"})
    second = json.loads(file.read_text())

    assert first["epoch"] == 1
    assert second == {**first, "epoch": 2, "shards": {"shard-0": "127.0.0.1:2"}}
    assert [path.name for path in tmp_path.iterdir()] == ["placement.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"epoch": "x", "shards": {}}'])
def test_a_file_that_is_no_placement_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "placement.json"
    file.write_text(content)

    with pytest.raises(FailedPrecondition, match="PLACEMENT_INVALID"):
        update_placement(file, {"shard-0": "127.0.0.1:1"})
    assert file.read_text() == content


def test_a_placement_of_other_shards_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "placement.json"
    update_placement(file, {"shard-0": "127.0.0.1:1", "shard-1": "127.0.0.1:2"})

    with pytest.raises(FailedPrecondition, match="shard-0, shard-1"):
        update_placement(file, {"shard-0": "127.0.0.1:1"})
