"""How partitions work."""

from __future__ import annotations

from dataclasses import dataclass

from shard_service.index.profiles import DEFAULT_PROFILE
from shard_service.maintenance.building import BuildLimits


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """How a partition works; `map_bytes` is only LMDB's first map size, which grows as needed.

    `seal_patches` rows are searched exactly before they are sealed; `max_segment_patches` bounds
    what merging makes; after `idle_s` seconds without a write small segments join larger ones;
    `recall_share` of the searches are checked against exact ones. `durable=False` leaves out every
    fsync of the store, for tests of the tests.
    """

    seal_patches: int = 8192
    min_train_patches: int = 10_000
    max_segment_patches: int = 2_000_000
    build_threads: int = 1
    idle_s: float = 30.0
    map_bytes: int = 1 << 30
    profile: str = DEFAULT_PROFILE
    recall_share: float = 0.0
    durable: bool = True

    def build_limits(self) -> BuildLimits:
        """The part of them that building works by."""
        return BuildLimits(
            threads=self.build_threads,
            min_train_patches=self.min_train_patches,
            small_rows=self.seal_patches,
            max_rows=self.max_segment_patches,
        )
