"""`patchsearch shard ...`: what is printed, and what the exit status is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.shard_process import IDS, Served, served_shard

Shard = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def served_partitions(tmp_path: Path) -> Iterator[Served]:
    with served_shard(tmp_path / "data") as served:
        yield served


@pytest.fixture
def command(served_partitions: Served) -> Shard:
    """Runs `patchsearch shard` with these arguments; the address is in the environment."""

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "patchsearch", "shard", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PATCHSEARCH_SHARD_ADDRESS": served_partitions.address},
        )

    return command


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    return {row.pop("partition_id"): row for row in json.loads(done.stdout)["partitions"]}


def test_describe(command: Shard, served_partitions: Served) -> None:
    done = command("describe", served_partitions.address)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split()[:3] == ["partition", "images", "patches"]
    assert [line.split()[:4] for line in lines] == [
        ["few", "4", "20", "20"],
        ["p0", "80", "400", "400"],
        ["p1", "80", "400", "400"],
    ]
    told = rows(command("describe", served_partitions.address, "--json"))
    assert list(told) == list(IDS)
    assert told["p0"]["patches"] == 400 and told["p0"]["hash_end"] == "f" * 16
    assert told["p0"]["damaged_images"] == 0 and told["p0"]["encoder"] == "test-encoder"


def test_seal_and_compact(command: Shard, served_partitions: Served) -> None:
    # All: what is too small stays as it is, and that is no failure.
    done = command("seal", "--json")
    assert done.returncode == 0, done.stderr
    told = rows(done)
    assert told["p0"] == told["p1"] == {"sealed_patches": 400}
    assert told["few"]["error"]["reason"] == "PARTITION_TOO_SMALL"  # type: ignore[index]
    served_partitions.shard.partition("p0").delete(["1/1"], 9)
    done = command("compact", "p0", "few")
    assert done.returncode == 0, done.stderr
    # By now the others have a codebook that it can share.
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["few", "0", "0"],
        ["p0", "1", "5"],
    ]
    assert rows(command("compact", "p0", "--json"))["p0"] == {
        "merged_segments": 0,
        "dropped_rows": 0,
    }


def test_what_fails_by_name_is_a_failure_and_the_rest_is_done(command: Shard) -> None:
    done = command("seal", "few", "p1")
    assert done.returncode == 1
    assert done.stderr.startswith("few: ") and "PARTITION_TOO_SMALL" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["p1", "400"]


def test_scrub_exits_with_1_when_something_is_damaged(
    command: Shard, served_partitions: Served
) -> None:
    served_partitions.shard.partition("p0").seal()
    done = command("scrub", "--json")
    assert done.returncode == 0, done.stderr
    assert rows(done)["p0"] == {"images": 80, "patches": 400, "segments": 1, "damages": []}
    (index,) = served_partitions.data.glob("partitions/p0/segments/*/boxes.npy")
    index.write_bytes(index.read_bytes()[:-1])
    done = command("scrub", "p0", "p1")
    assert done.returncode == 1, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[1:3]] == [
        ["p0", "80", "400", "1", "1"],
        ["p1", "80", "400", "0", "0"],
    ]
    assert f"p0: segments/{index.parent.name}: " in done.stdout
    assert command("scrub").returncode == 0


def test_snapshot(command: Shard, served_partitions: Served) -> None:
    target = served_partitions.data / "snapshots" / "monday"
    done = command("snapshot", "--to", f"{target}/", "--json")
    assert done.returncode == 0, done.stderr
    told = rows(done)
    assert list(told) == list(IDS)
    assert told["few"]["destination"] == str(target / "few")
    assert (told["few"]["images"], told["few"]["patches"]) == (4, 20)
    assert sorted(os.listdir(target)) == list(IDS)
    done = command("snapshot", "few", "--to", target)
    assert done.returncode == 1 and "DESTINATION_EXISTS" in done.stderr
    done = command("snapshot", "few", "--to", served_partitions.data / "elsewhere")
    assert done.returncode == 1 and "DESTINATION_INVALID" in done.stderr
    assert "--snapshot-roots" in done.stderr
    done = command("snapshot", "few", "--to", "memory://commands")
    assert done.returncode == 0, done.stderr
    assert "memory://commands/few" in done.stdout


def test_what_cannot_be_asked(command: Shard) -> None:
    done = command("seal", "p0", "p9")
    assert done.returncode == 1 and "PARTITION_NOT_FOUND" in done.stderr and done.stdout == ""
    done = command("seal", "--address", "127.0.0.1:1")
    assert done.returncode == 3 and "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
