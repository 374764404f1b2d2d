from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.backup import read_backup
from patchsearch.cli.app import run
from patchsearch.errors import DataLoss
from placement.document import load_placement
from tests.cluster.placed_client import units
from tests.cluster.printed import without_logs
from tests.cluster.real_cluster import RealCluster, real_cluster

QUERIES = units(5, seed=3)
Command = Callable[..., str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """What `patchsearch` prints with these arguments; raises what is wrong."""

    def command(*arguments: object) -> str:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        told = capsys.readouterr()
        assert status == 0, told.err
        return without_logs(told.out)

    return command


def answers(cluster: RealCluster) -> list[list[tuple[float, str, int]]]:
    return [cluster.client.search(query) for query in QUERIES]


def test_a_whole_cluster_comes_back_from_a_backup(tmp_path: Path, command: Command) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with real_cluster(first, shards=2, spare=0, partitions=3, replicas=2) as cluster:
        cluster.client.put([f"image-{i}" for i in range(40)])
        before = answers(cluster)
        # Where the shards may write it: below what they were told.
        place = first / "backup"
        told = json.loads(command("backup", place, "--placement", cluster.path, "--json"))
        assert told["images"] == 40 and set(told["partitions"]) == {"p0", "p1", "p2"}
        with pytest.raises(AssertionError, match="DESTINATION_EXISTS"):
            command("backup", place, "--placement", cluster.path)
        acknowledged = cluster.client.acknowledged
    for name in ("shard-0", "shard-1"):
        printed = command("restore", place, "--shard", name, "--data", second / name)
        assert printed.count("images") == 3
    # As if it had been cut short, by a full disk or a hand.
    shutil.rmtree(second / "shard-0" / "partitions" / "p1")
    printed = command("restore", place, "--shard", "shard-0", "--data", second / "shard-0")
    assert (printed.count("images"), printed.count("was there already")) == (3, 2)
    other = second / "shard-0" / "partitions" / "p1" / "lmdb" / "data.mdb"
    whole = other.read_bytes()
    other.write_bytes(b"x" + whole[1:])
    with pytest.raises(AssertionError, match="PARTITION_EXISTS"):
        command("restore", place, "--shard", "shard-0", "--data", second / "shard-0")
    other.write_bytes(whole)
    with real_cluster(second, shards=2, spare=0, partitions=1, replicas=1, found=False) as restored:
        shards = [f"--shard={name}={at}" for name, at in restored.addresses.items()]
        arguments = ["cluster", "init", "--from-backup", place, *shards]
        command(*arguments, "--placement", restored.path)
        assert load_placement(restored.path).epoch == read_backup(str(place)).placement.epoch + 1
        restored.client.acknowledged.update(acknowledged)
        assert answers(restored) == before
        restored.settled()
        with pytest.raises(AssertionError, match="SHARD_INVALID"):
            command(*arguments[:-1], "--placement", tmp_path / "other.json")


def test_a_backup_that_was_cut_short_goes_on(tmp_path: Path, command: Command) -> None:
    with real_cluster(tmp_path, shards=2, spare=0, partitions=4, replicas=1) as cluster:
        cluster.client.put([f"image-{i}" for i in range(20)])
        place = tmp_path / "backup"
        cluster.stop("shard-1")
        with pytest.raises(AssertionError, match="LAST_REPLICA"):
            command("backup", place, "--placement", cluster.path)
        assert (place / "partitions" / "p0" / "snapshot.json").exists()
        with pytest.raises(DataLoss) as caught:
            read_backup(str(place))
        assert caught.value.reason == "BACKUP_INVALID"
        cluster.start("shard-1")
        command("backup", place, "--placement", cluster.path)
        assert read_backup(str(place)).images == 20


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9}', '{"format": 1}'])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "cluster.json").write_text(content)
    with pytest.raises(DataLoss) as caught:
        read_backup(str(tmp_path))
    assert caught.value.reason == "BACKUP_INVALID"
