"""A real deployment in processes of its own, whose health and memory are watched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patchsearch.serving.child import RestartPolicy
from patchsearch.serving.cluster import EmbeddedCluster

MB = 1 << 20


@dataclass(slots=True)
class Memory:
    """Resident bytes of a process before, at most, and after."""

    before: int
    peak: int = 0
    after: int = 0


class WatchedCluster:
    """Addresses, process ids and memory of encoder, shard and router."""

    def __init__(self, cluster: EmbeddedCluster, directory: Path) -> None:
        self._cluster = cluster
        self.pids = dict(cluster.pids)
        self.addresses: dict[str, str] = {}
        for ready in (directory / "run").glob("*.json"):
            port = json.loads(ready.read_text())["port"]
            self.addresses[ready.stem.split("-")[0]] = f"127.0.0.1:{port}"
        self.memory: dict[str, Memory] = {}
        for name, pid in self.pids.items():
            with suppress(OSError):  # the peak counts from here
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            self.memory[name] = Memory(before=_status(pid, "VmRSS"))

    def crashed(self) -> list[str]:
        """Processes that ended, or were started again."""
        now = self._cluster.pids
        gone = [name for name, pid in self.pids.items() if now.get(name) != pid or not _lives(pid)]
        return gone

    def measure(self) -> None:
        """Reads the memory of all processes."""
        for name, pid in self.pids.items():
            with suppress(OSError):
                self.memory[name].peak = max(self.memory[name].peak, _status(pid, "VmHWM"))
                self.memory[name].after = _status(pid, "VmRSS")

    def cpu_s(self) -> float:
        """Processor seconds of all servers so far, and of what they started."""
        used = 0
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(entry.name) in self.pids.values():
                    used += sum(map(int, fields[11:15]))  # with children that have ended
                elif int(fields[1]) in self.pids.values():
                    used += sum(map(int, fields[11:13]))
        return used / os.sysconf("SC_CLK_TCK")

    def unhealthy(self, within_s: float) -> list[str]:
        """Servers that do not answer a health check in this time."""
        bad = []
        for name, address in self.addresses.items():
            with grpc.insecure_channel(
                address,
                options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)],
            ) as channel:
                try:
                    answer = health_pb2_grpc.HealthStub(channel).Check(
                        health_pb2.HealthCheckRequest(), timeout=within_s, wait_for_ready=True
                    )
                    if answer.status != health_pb2.HealthCheckResponse.SERVING:
                        bad.append(f"{name}: not serving")
                except grpc.RpcError as error:
                    bad.append(f"{name}: {error.code().name}")
        return bad


@contextmanager
def watched_cluster(directory: Path) -> Iterator[WatchedCluster]:
    """Encoder with the bundled model, one shard, a router; none is started again when it dies."""
    arguments = {
        "encoder": (
            *("--precision", "float32", "--torch-threads", "1"),
            *("--max-image-mpx", "16", "--decode-cpu-s", "1.5"),
        ),
        "shard": (),
        "router": (),
    }
    with EmbeddedCluster(
        directory, "mini", 1, arguments=arguments, restarts=RestartPolicy(), drain_s=5
    ) as cluster:
        yield WatchedCluster(cluster, directory)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    return 0
