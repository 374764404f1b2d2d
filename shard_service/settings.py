"""The shard's settings: flag = environment variable (PATCHSEARCH_SHARD_...) = field."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service_runtime.settings import ServiceSettings
from shard_service.options import PartitionOptions
from shard_service.versions import DEFAULT_AHEAD_S


class ShardSettings(ServiceSettings):
    """How a shard runs."""

    model_config = SettingsConfigDict(
        **{**ServiceSettings.model_config, "env_prefix": "PATCHSEARCH_SHARD_"}
    )

    port: int = Field(7101, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data: Path = Field(
        description="Directory that holds the partitions; made where it is missing. On a local "
        "disk: LMDB does not work over a network."
    )
    name: str = Field("shard-0", min_length=1, description="Name of this shard in the placement.")
    profile: Literal[
        "graph", "compact", "hnsw", "opq64", "opq64-iterative", "graph-opq64", "exact"
    ] = Field(
        "graph",
        description="Index profile of segments that are sealed from now on; CompactPartition "
        "brings older ones to it.",
    )
    seal_patches: int = Field(
        8192, ge=1, description="Patches that a partition searches exactly before it seals them."
    )
    max_segment_patches: int = Field(
        2_000_000, ge=1024, description="Patches of the largest segment that merging makes."
    )
    idle_s: float = Field(
        30.0,
        gt=0,
        description="Seconds without a write after which small segments join larger ones.",
    )
    min_train_patches: int = Field(
        10_000,
        ge=256,
        description="Patches that the first codebook needs; with fewer a partition stays exact.",
    )
    search_threads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Searches of a call, one a partition and query, that run side by side, over "
        "all calls; as many as there are processors where unset. While they take less than a "
        "millisecond, those of a call run one after the other.",
    )
    build_threads: int = Field(1, ge=1, le=256, description="Threads that build an index.")
    recall_share: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Share of searches that are answered again exactly, in the background, to "
        "measure recall; see the metrics patchsearch_recall_*.",
    )
    snapshot_roots: list[str] = Field(
        default_factory=list,
        description="Absolute directories and URL prefixes below which snapshots may be written, "
        "besides DATA/snapshots.",
    )
    tombstone_keep_hours: float = Field(
        168.0,
        gt=0,
        description="Hours that a deletion is remembered. A replica that missed it and stays away "
        "for longer can bring the image back.",
    )
    peers: list[str] = Field(
        default_factory=list,
        description="Networks (10.0.0.0/8) and names (shard-*.example) of the shards that this one "
        "may be told to fetch partitions from. Where none is given: any, if shards are called over "
        "TLS (--tls-ca) or with --insecure, and else those on this machine.",
    )
    max_clock_ahead_s: float = Field(
        DEFAULT_AHEAD_S,
        ge=1,
        description="Seconds that the version of a write, which is the time of the router that "
        "took it, may be ahead of this shard's clock; others are refused, because they would win "
        "over all writes until then. Give routers the same.",
    )
    map_gb: float = Field(
        1.0, gt=0, le=65536, description="First size of a partition's LMDB map, in GiB; it grows."
    )

    def partition_options(self) -> PartitionOptions:
        """The part of the settings that partitions work by."""
        return PartitionOptions(
            seal_patches=self.seal_patches,
            min_train_patches=self.min_train_patches,
            max_segment_patches=self.max_segment_patches,
            build_threads=self.build_threads,
            idle_s=self.idle_s,
            recall_share=self.recall_share,
            map_bytes=int(self.map_gb * (1 << 30)) & ~0xFFFF or 1 << 20,
            profile=self.profile,
        )
