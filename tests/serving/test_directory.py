from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from patchsearch.errors import FailedPrecondition, InvalidArgument
from patchsearch.serving import running_address
from patchsearch.serving.directory import DataDirectory


def test_a_new_directory_takes_the_defaults_and_keeps_them(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "new" / "data", None, None)
    made = (directory.shards, directory.encoder, directory.partitions_created)
    directory.remember_partitions()
    directory.close()

    again = DataDirectory(tmp_path / "new" / "data", 1, "mini")
    again.close()

    assert made == (1, "mini", False)
    assert again.partitions_created
    assert again.shard_names == ["shard-0"]


@pytest.mark.parametrize(
    ("asked", "reason", "values"),
    [
        ((3, None), "SHARDS_DIFFER", ("--shards 1", "--shards 3")),
        ((None, "vit-b-16"), "ENCODER_MISMATCH", ("--encoder mini", "--encoder vit-b-16")),
    ],
)
def test_what_it_was_made_with_cannot_change(
    tmp_path: Path, asked: Any, reason: str, values: tuple[str, str]
) -> None:
    DataDirectory(tmp_path, 1, "mini").close()

    with pytest.raises(FailedPrecondition) as raised:
        DataDirectory(tmp_path, *asked)

    assert raised.value.reason == reason
    assert all(value in raised.value.message for value in values)
    DataDirectory(tmp_path, None, None).close()


def test_partitions_that_are_there_are_never_taken_for_new(tmp_path: Path) -> None:
    (tmp_path / "shard-0" / "partitions" / "p0").mkdir(parents=True)

    directory = DataDirectory(tmp_path, None, None)
    directory.close()

    assert directory.partitions_created


@pytest.mark.parametrize("shards", [0, 65])
def test_the_number_of_shards_has_limits(tmp_path: Path, shards: int) -> None:
    with pytest.raises(InvalidArgument, match="SHARDS_OUT_OF_RANGE"):
        DataDirectory(tmp_path, shards, None)


@pytest.mark.parametrize("content", ["", "{}", '{"shards": "x", "encoder": "mini"}'])
def test_a_record_that_cannot_be_read_is_not_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster.json").write_text(content)

    with pytest.raises(FailedPrecondition, match="STORE_CORRUPT"):
        DataDirectory(tmp_path, None, None)

    assert (tmp_path / "cluster.json").read_text() == content


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(FailedPrecondition, match="DATA_DIR_UNUSABLE"):
        DataDirectory(tmp_path / "data", None, None)


def test_others_find_the_address_while_it_is_held(tmp_path: Path) -> None:
    assert running_address(tmp_path / "nowhere") is None
    directory = DataDirectory(tmp_path, None, None)
    assert running_address(tmp_path) is None
    directory.announce("127.0.0.1:7100", {"router": {"pid": 1, "address": "127.0.0.1:7100"}})
    assert running_address(tmp_path) == "127.0.0.1:7100"
    told = json.loads((tmp_path / "serve.json").read_text())
    directory.close()

    assert told["pid"] == os.getpid()
    assert running_address(tmp_path) is None


def test_an_announcement_of_the_dead_is_not_believed(tmp_path: Path) -> None:
    DataDirectory(tmp_path, None, None).close()
    (tmp_path / "serve.json").write_text(json.dumps({"address": "127.0.0.1:7100", "pid": 1}))

    assert running_address(tmp_path) is None
