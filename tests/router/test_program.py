"""The router as a program: how it starts, how it refuses to, how it stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from patchsearch.v1.search_service_pb2 import DescribeCollectionRequest
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from tests.contract.cluster import write_placement
from tests.router.conftest import Stage
from tests.router.fake_shard import FakeShard

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(stage: Stage, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(**flags: object) -> subprocess.Popen[str]:
        values = {
            "placement": stage.placement,
            "encoder": stage.encoder_address,
            "port": 0,
            "ready-file": tmp_path / "ready.json",
            "startup-timeout-s": 20,
            **{name.replace("_", "-"): value for name, value in flags.items()},
        }
        command = [sys.executable, "-m", "router"]
        for name, value in values.items():
            command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def ready(tmp_path: Path, process: subprocess.Popen[str]) -> int:
    path = tmp_path / "ready.json"
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return int(json.loads(path.read_text())["port"])


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_it_serves_until_it_is_told_to_stop(stage: Stage, start: Start, tmp_path: Path) -> None:
    write_placement(stage.placement, [stage.shard(FakeShard())])
    process = start(create_partitions=True)
    with grpc.insecure_channel(f"127.0.0.1:{ready(tmp_path, process)}") as channel:
        told = SearchServiceStub(channel).DescribeCollection(
            DescribeCollectionRequest(), timeout=10, wait_for_ready=True
        )
    assert [p.partition_id for p in told.partitions] == ["p0"]
    assert told.version
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0


def test_a_placement_that_cannot_be_read_is_one_line_and_status_1(
    stage: Stage, start: Start
) -> None:
    code, said = ended(start())
    assert code == 1
    assert "placement.json cannot be read" in said
    assert "Traceback" not in said


def test_a_missing_partition_is_one_line_and_status_1(stage: Stage, start: Start) -> None:
    write_placement(stage.placement, [stage.shard(FakeShard())])
    code, said = ended(start())
    assert code == 1
    assert "--create-partitions" in said
    assert "Traceback" not in said


def test_a_bad_setting_is_refused_by_flag_and_variable(stage: Stage, start: Start) -> None:
    code, said = ended(start(default_k=0))
    assert code == 2
    assert "--default-k or PATCHSEARCH_ROUTER_DEFAULT_K" in said


def test_it_stops_at_once_while_it_waits_for_its_encoder(
    stage: Stage, start: Start, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    write_placement(stage.placement, [stage.shard(FakeShard())])
    process = start(encoder="127.0.0.1:1")
    assert process.stderr is not None
    assert "port open" in process.stderr.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert time.monotonic() - began < 8
