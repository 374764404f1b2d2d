"""Starts shards that kill themselves in the middle of a call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from patchsearch.shard.v1.shard_service_pb2_grpc import ShardServiceStub
from service_runtime.clients import open_channel
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units
from tests.shard_service.replica_shards import RunningShard, now_version

PROGRAM = Path(__file__).parent / "killed_shard.py"


def fill(one: RunningShard, rng: np.random.Generator, count: int = 300) -> None:
    writes = [photo(f"i{n}", row_of_boxes(4), units(rng, 4)) for n in range(count)]
    one.partition.put(writes, FINGERPRINT)
    one.partition.delete([f"i{n}" for n in range(0, count, 50)], now_version())


def killed_at(
    point: str, occurrence: int, data: Path, call: Callable[[ShardServiceStub], Any]
) -> None:
    """Starts a shard on `data`, calls it, and returns when it has killed itself."""
    child = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(data), point, str(occurrence)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    try:
        address = child.stdout.readline().strip()
        assert address
        channel = open_channel(address, max_attempts=1)
        try:
            with pytest.raises(grpc.RpcError):
                call(ShardServiceStub(channel))
        finally:
            channel.close()
        assert child.wait(60) == -9
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
