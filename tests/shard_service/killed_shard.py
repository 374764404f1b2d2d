"""A shard that serves until it reaches a point of its life, and kills itself there; run by
test_replica_kills."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).parents[2]


def main(data: Path, point: str, occurrence: int) -> None:
    from tests.shard_service.replica_shards import running

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    times = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "patchsearch.shard" and arguments[0] == point and next(times) == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    with running(data, create=False) as one:
        sys.addaudithook(hook)
        print(one.address, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
