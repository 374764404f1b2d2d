from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patchsearch.errors import FailedPrecondition, Unavailable
from patchsearch.serving import EmbeddedCluster, Programs, RestartPolicy, running_address


def healthy(address: str) -> bool:
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_it_starts_everything_and_stops_everything(
    tmp_path: Path, fakes: Programs, trace: Any, is_alive: Any
) -> None:
    steps: list[str] = []
    data = tmp_path / "data"
    with EmbeddedCluster(
        data,
        "mini",
        2,
        programs=fakes,
        arguments={"encoder": ["--workers", "3"]},
        progress=steps.append,
    ) as cluster:
        address, pids = cluster.address, dict(cluster.pids)
        assert healthy(address)
        assert running_address(data) == address
        assert set(pids) == {"encoder", "shard-0", "shard-1", "router"}
        told = json.loads((data / "serve.json").read_text())
        assert told["pid"] == os.getpid()
        assert {name: facts["pid"] for name, facts in told["processes"].items()} == pids

    assert not any(is_alive(pid) for pid in pids.values())
    assert running_address(data) is None
    assert not (data / "serve.json").exists()
    assert any(address in step for step in steps)
    encoder = trace.starts("encoder")[0]
    assert encoder[encoder.index("--model") + 1] == "mini"
    assert encoder[-2:] == ["--workers", "3"]
    shards = {argv[argv.index("--name") + 1]: argv for argv in trace.starts("shard")}
    assert shards["shard-1"][shards["shard-1"].index("--data") + 1] == str(data / "shard-1")


def test_a_second_start_keeps_the_collection_and_tells_the_new_addresses(
    tmp_path: Path, fakes: Programs, trace: Any
) -> None:
    data = tmp_path / "data"
    placements = []
    for shards, encoder in ((1, "mini"), (None, None)):
        with EmbeddedCluster(data, encoder, shards, programs=fakes) as cluster:
            placement = json.loads((data / "placement.json").read_text())
            placements.append(placement)
            told = json.loads((data / "serve.json").read_text())["processes"]
            assert placement["shards"] == {"shard-0": told["shard-0"]["address"]}
            del cluster

    first, second = placements
    assert first["partitions"] == second["partitions"]
    changed = first["shards"] != second["shards"]
    assert second["epoch"] == first["epoch"] + int(changed)
    create = ["--create-partitions" in argv for argv in trace.starts("router")]
    assert create == [True, False]
    assert (data / "logs" / "router.log.1").exists()


def test_a_directory_is_served_once_and_a_port_taken_once(
    tmp_path: Path, fakes: Programs, trace: Any
) -> None:
    with EmbeddedCluster(tmp_path / "a", programs=fakes) as cluster:
        port = int(cluster.address.rpartition(":")[2])
        started = len(trace.pids())
        with pytest.raises(FailedPrecondition) as same_directory:
            EmbeddedCluster(tmp_path / "a", programs=fakes).start()
        with pytest.raises(FailedPrecondition) as same_port:
            EmbeddedCluster(tmp_path / "b", port=port, programs=fakes).start()
        assert healthy(cluster.address)
        assert len(trace.pids()) == started

    assert same_directory.value.reason == "DATA_DIR_IN_USE"
    assert str(os.getpid()) in same_directory.value.message
    assert same_port.value.reason == "PORT_TAKEN"


def test_a_killed_child_comes_back_at_its_address(
    tmp_path: Path, fakes: Programs, eventually: Any, is_alive: Any
) -> None:
    steps: list[str] = []
    with EmbeddedCluster(tmp_path, programs=fakes, progress=steps.append) as cluster:
        before = dict(cluster.pids)
        address = cluster.address
        for name in ("router", "shard-0"):
            os.kill(before[name], signal.SIGKILL)

        eventually(lambda: healthy(address) and cluster.pids["shard-0"] != before["shard-0"])

        after = dict(cluster.pids)
        assert after["encoder"] == before["encoder"]
        assert after["router"] != before["router"]
        told = json.loads((tmp_path / "serve.json").read_text())
        assert told["processes"]["router"] == {"pid": after["router"], "address": address}
        assert any("router died" in step for step in steps)

    assert not any(is_alive(pid) for pid in after.values())


def test_a_child_that_keeps_dying_is_given_up_with_its_last_words(
    tmp_path: Path, fakes: Programs
) -> None:
    flaky = {"shard": ("--crash-after-s", "0.1")}
    restarts = RestartPolicy(pauses_s=(0.05, 0.1), deaths=3, window_s=600)
    with EmbeddedCluster(tmp_path, programs=fakes, arguments=flaky, restarts=restarts) as cluster:
        failure = cluster.failures.get(timeout=60)

    assert "shard-0 died 3 times" in failure
    assert "status 7" in failure
    assert "shard-0.log" in failure


def test_a_child_that_cannot_start_says_why_and_nothing_is_left(
    tmp_path: Path, fakes: Programs, trace: Any, is_alive: Any
) -> None:
    broken = {"shard": ("--fail", "the disk is on fire")}

    with pytest.raises(FailedPrecondition) as raised:
        EmbeddedCluster(tmp_path, programs=fakes, arguments=broken).start()

    assert raised.value.reason == "CHILD_FAILED"
    assert "patchsearch-shard: the disk is on fire [BROKEN]" in raised.value.message
    assert not any(is_alive(pid) for pid in trace.pids())
    assert running_address(tmp_path) is None


def test_starting_can_be_called_off(
    tmp_path: Path, fakes: Programs, trace: Any, is_alive: Any
) -> None:
    called_off = threading.Event()
    cluster = EmbeddedCluster(
        tmp_path,
        programs=fakes,
        progress=lambda step: called_off.set(),
        cancelled=called_off.is_set,
    )

    with pytest.raises(Unavailable, match="CANCELLED"):
        cluster.start()

    assert not any(is_alive(pid) for pid in trace.pids())
