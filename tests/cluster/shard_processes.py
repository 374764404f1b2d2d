"""Shards and other servers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

STARTS_WITHIN_S = 60.0


@contextmanager
def server_process(folder: Path, module: str, *flags: str) -> Iterator[str]:
    """The address of a server while its process lives; it ends with this one."""
    folder.mkdir(parents=True)
    ready, log = folder / "ready.json", folder / "log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", module, "--port=0", f"--ready-file={ready}"),
                *("--stop-with-stdin", "--drain-s=1", *flags),
            ],
            stdin=subprocess.PIPE,
            stderr=told,
        )
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)
        yield f"127.0.0.1:{json.loads(ready.read_text())['port']}"
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def shard_process(folder: Path, map_gb: float = 0.05) -> AbstractContextManager[str]:
    """The address of a shard over a new directory while its process lives."""
    return server_process(folder, "shard_service", f"--data={folder}", f"--map-gb={map_gb}")
