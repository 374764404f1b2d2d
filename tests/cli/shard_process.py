"""A shard with three partitions, served in this process, for the commands that look after one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service_runtime.server import ServiceServer
from shard_service.options import PartitionOptions
from shard_service.servicer import shard_service
from shard_service.settings import ShardSettings
from shard_service.shard import Shard
from shard_service.store.meta import Identity
from tests.shard_service.material import FINGERPRINT, photo, row_of_boxes, units

IDS = ("few", "p0", "p1")


class Served(NamedTuple):
    address: str
    shard: Shard
    data: Path


@contextmanager
def served_shard(data: Path) -> Iterator[Served]:
    """p0 and p1 have 80 images of 5 patches each, enough to train on; few has 4."""
    options = PartitionOptions(seal_patches=10**9, min_train_patches=300, map_bytes=1 << 20)
    shard = Shard(data, options)
    shard.open()
    rng = np.random.default_rng(5)
    for number, name in enumerate(IDS):
        # A name that hashes into each range is not worth finding: every range is the whole one.
        shard.create(Identity(name, 0, (1 << 64) - 1, FINGERPRINT, "test-encoder", 64))
        images = 4 if name == "few" else 80
        writes = [photo(f"{number}/{n}", row_of_boxes(5), units(rng, 5)) for n in range(images)]
        shard.partition(name).put(writes, FINGERPRINT)
    settings = ShardSettings(data=data, port=0, log_level="error")
    roots = [str(data / "snapshots"), "memory://"]
    try:
        with ServiceServer(settings, [shard_service(shard, roots)]) as server:
            yield Served(server.address, shard, data)
    finally:
        shard.close()
