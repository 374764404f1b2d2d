"""Writes until it is killed, and prints what was acknowledged; run by test_recovery."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import structlog

from shard_service.options import PartitionOptions
from shard_service.shard import Shard

ROOT = Path(__file__).parents[2]


def main(data: Path, run: int) -> None:
    from tests.shard_service.material import FINGERPRINT, IDENTITY
    from tests.shard_service.test_recovery import photo_of

    # Standard output is for acknowledgements: a log line in the middle of one would tear it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    # Sealing is under way most of the time.
    options = PartitionOptions(seal_patches=400, min_train_patches=300, map_bytes=1 << 20)
    shard = Shard(data, options)
    shard.open()
    shard.create(IDENTITY)
    partition = shard.partition("p0")
    printing = threading.Lock()

    def write(thread: int) -> None:
        number = 0
        while True:
            number += 1
            version = 1000 * run + number
            # Ids come again, so that writes replace.
            batch = [f"t{thread}-{(number * 3 + at) % 60}" for at in range(3)]
            partition.put([photo_of(image_id, version) for image_id in batch], FINGERPRINT)
            with printing:
                for image_id in batch:
                    print(json.dumps({"id": image_id, "version": version}), flush=True)

    print("ready", flush=True)
    for thread in range(3):
        threading.Thread(target=write, args=(thread,)).start()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]), int(sys.argv[2]))
