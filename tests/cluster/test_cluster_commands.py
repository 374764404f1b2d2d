"""`patchsearch cluster ...`: what is printed, the exit status, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from patchsearch.cli.app import run
from tests.cluster.conftest import MakeCluster
from tests.cluster.fake_cluster import FakeCluster
from tests.cluster.printed import without_logs
from tests.contract.cluster import serving_encoder
from tests.contract.fake_encoder import FakeEncoder
from tests.interruptible import HEARS_SIGINT


def environment(place: object) -> dict[str, str]:
    return {**os.environ, "PATCHSEARCH_PLACEMENT": str(place), "COLUMNS": "160"}


class Done(NamedTuple):
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `patchsearch cluster` over a placement, in this process: starting one takes seconds."""

    def command(place: object, *arguments: object) -> Done:
        capsys.readouterr()
        status = run(["cluster", *map(str, arguments), "--placement", str(place)])
        told = capsys.readouterr()
        return Done(status, without_logs(told.out), without_logs(told.err))

    return command


@pytest.fixture
def filled(fake_cluster: MakeCluster) -> Iterator[FakeCluster]:
    """Three shards with six partitions of two replicas, and a fourth that stands by."""
    cluster = fake_cluster(partitions=6)
    for i in range(60):
        cluster.write(f"image-{i}")
    yield cluster


def test_a_dry_run_prints_the_plan_and_changes_nothing(
    filled: FakeCluster, command: Command
) -> None:
    address = filled.addresses["shard-3"]
    epoch = filled.placement.epoch
    done = command(filled.path, "add-shard", "shard-3", address, "--dry-run", "--rate-mb-s", "1")
    assert done.returncode == 0, done.stderr
    assert "nothing was changed" in done.stdout and "-> shard-3" in done.stdout
    told = json.loads(
        command(filled.path, "add-shard", "shard-3", address, "--dry-run", "--json").stdout
    )["plan"]
    assert told["copied_bytes"] == sum(change["copied_bytes"] for change in told["members"]) > 0
    assert told["new_shard"] == ["shard-3", address]
    assert filled.placement.epoch == epoch


def test_commands_do_it_and_tell_what_they_did(filled: FakeCluster, command: Command) -> None:
    address = filled.addresses["shard-3"]
    done = command(filled.path, "add-shard", "shard-3", address)
    assert done.returncode == 0, done.stderr
    assert "bytes copied" in done.stdout
    assert "joining" in done.stderr and "dropped" in done.stderr
    filled.settled()
    told = json.loads(command(filled.path, "split", "p0", "--json").stdout)
    assert told["outcome"]["epoch"] == filled.placement.epoch
    assert {"p0-0", "p0-1"} <= {p.id for p in filled.placement.partitions}
    for arguments in (["rebalance"], ["set-replicas", "1"], ["remove-shard", "shard-0"]):
        done = command(filled.path, *arguments)
        assert done.returncode == 0, done.stderr
        filled.settled()
    assert "nothing to do" in command(filled.path, "repair").stdout
    assert "nothing to do" in command(filled.path, "remove-shard", "shard-0").stdout


def test_status_tells_what_is_wrong_and_the_exit_status_too(
    filled: FakeCluster, command: Command
) -> None:
    done = command(filled.path, "status")
    assert done.returncode == 0, done.stderr
    assert "6 partitions on 3 shards" in done.stdout and "60 images" in done.stdout
    on = filled.shards_of("p0")
    filled.fakes[on[0]].partitions["p0"].records.popitem()
    done = command(filled.path, "status", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    states = {r["shard"]: r["state"] for r in told["partitions"][0]["replicas"]}
    assert states == {on[0]: "behind", on[1]: "ok"} and not told["well"]
    done = command(filled.path, "repair")
    assert done.returncode == 0 and f"{on[0]} got 1 images" in done.stderr
    filled.fakes["shard-1"].refuse_everything = True
    done = command(filled.path, "status")
    assert done.returncode == 1 and "away" in done.stdout


def test_status_goes_on_until_it_is_interrupted(filled: FakeCluster) -> None:
    process = subprocess.Popen(
        [*HEARS_SIGINT, "patchsearch", "cluster", "status", "--watch", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(filled.path),
    )
    assert process.stdout is not None
    with process.stdout as lines:
        first, second = json.loads(next(lines)), json.loads(next(lines))
        process.send_signal(signal.SIGINT)
        lines.read()
    assert first["epoch"] == second["epoch"] == filled.placement.epoch
    assert process.wait(30) == 0


def test_a_command_that_is_killed_goes_on_when_it_is_run_again(
    filled: FakeCluster, command: Command
) -> None:
    address = filled.addresses["shard-3"]
    arguments = ["add-shard", "shard-3", address]
    pulling, go_on = threading.Event(), threading.Event()
    pulls = [0]

    def second_pull() -> None:
        pulls[0] += 1
        if pulls[0] == 2:
            pulling.set()
            go_on.wait(60)

    filled.fakes["shard-3"].when_pulling = second_pull
    process = subprocess.Popen(
        [sys.executable, "-m", "patchsearch", "cluster", *arguments],
        env=environment(filled.path),
        stderr=subprocess.DEVNULL,
    )
    assert pulling.wait(60)
    process.kill()
    process.wait(30)
    go_on.set()
    assert "shard-3" in filled.placement.shards
    for i in range(60, 80):
        filled.write(f"image-{i}")
    done = command(filled.path, *arguments)
    assert done.returncode == 0, done.stderr
    assert len(filled.fakes["shard-3"].partitions) >= 2
    filled.settled()


def test_mistakes_are_one_line(filled: FakeCluster, command: Command) -> None:
    for arguments, status, says in (
        (["move", "p9", "shard-0", "shard-1"], 1, "PARTITION_UNKNOWN"),
        (["split"], 1, "PARTITION_MISSING"),
        (["set-replicas", "9"], 1, "NOT_ENOUGH_SHARDS"),
        (["add-shard", "x", "nowhere"], 1, "SHARD_INVALID"),
        (["add-shard", "x", "127.0.0.1:1"], 1, "SHARD_UNREACHABLE"),
    ):
        done = command(filled.path, *arguments)
        assert done.returncode == status and says in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    done = command(filled.path.with_name("none.json"), "status")
    assert done.returncode == 1 and "cluster init" in done.stderr


def test_init_writes_a_placement_and_creates_its_partitions(
    fake_cluster: MakeCluster, tmp_path: Path, command: Command
) -> None:
    cluster = fake_cluster(shards=1, spare=2, partitions=1, replicas=1)
    place = tmp_path / "new.json"
    shards = [f"--shard={name}={address}" for name, address in cluster.addresses.items()]
    arguments = ["init", *shards, "--partitions", "6", "--replicas", "2"]
    done = command(place, *arguments, "--dry-run")
    assert done.returncode == 0 and len(json.loads(done.stdout)["partitions"]) == 6
    assert not place.exists()
    cluster.fakes["shard-0"].partitions.clear()
    with serving_encoder(FakeEncoder()) as encoder:
        done = command(place, *arguments, "--create", "--encoder", encoder)
        assert done.returncode == 0, done.stderr
        assert command(place, *arguments, "--create", "--encoder", encoder).returncode == 0
    assert sum(len(fake.partitions) for fake in cluster.fakes.values()) == 12
    assert command(place, "status").returncode == 0
    done = command(place, "init", *shards, "--partitions", "5")
    assert done.returncode == 1 and "PLACEMENT_EXISTS" in done.stderr
