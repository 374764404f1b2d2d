"""The router's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from router.clock import DEFAULT_AHEAD_S
from router.query import MAX_K
from service_runtime.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Every field is a flag, a variable PATCHSEARCH_ROUTER_* and its documentation."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_ROUTER_")

    port: int = Field(7100, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    placement: str | Path = Field(
        description="JSON file that says which shards answer for which hash range, or the address "
        "of etcd that keeps it (etcd://host:port/key, etcds:// over TLS); a new epoch of it is "
        "served without a restart."
    )
    encoder: str = Field(
        "127.0.0.1:7102", min_length=1, description="Address of the encoder, host:port."
    )
    max_wait_s: float = Field(
        0.1,
        gt=0,
        le=3600,
        description="Seconds that calls may wait for a worker; while they wait longer, new ones "
        "are refused with OVERLOADED.",
    )
    create_partitions: bool = Field(
        False, description="Create partitions that the placement lists and their shard lacks."
    )
    startup_timeout_s: float = Field(
        60.0,
        ge=0,
        le=86400,
        description="Seconds to wait at start for the encoder and the shards. Without the encoder "
        "or any shard the router gives up then; without some shards it serves degraded answers.",
    )
    placement_poll_s: float = Field(
        1.0, gt=0, le=3600, description="Seconds between looks at the placement file."
    )
    default_k: int = Field(
        16, ge=1, le=MAX_K, description="Hits of a search that does not say how many."
    )
    merge_reserve_ms: float = Field(
        20.0,
        ge=0,
        le=10000,
        description="Milliseconds of a search's deadline that shards do not get, so that what "
        "arrived in time can be merged and sent; at most a quarter of what is left.",
    )
    redact: bool = Field(
        False,
        description="Answer without uris, metadata, digests and vectors: nothing then leads from a "
        "hit to pixels (see docs/privacy.md).",
    )
    ingest_in_flight: int = Field(
        16,
        ge=1,
        le=1024,
        description="Images of one ingest stream that are read and not yet answered, and images "
        "of all streams that are worked on at a time.",
    )
    batch_in_flight: int = Field(
        8,
        ge=1,
        le=256,
        description="Calls for searches of batches that are at each shard at a time, up to 16 "
        "searches in a call.",
    )
    write_consistency: Literal["one", "quorum", "all"] = Field(
        "quorum",
        description="Replicas of a partition that must have a write durably before it is "
        "acknowledged, where the request does not say: one, more than half, or all.",
    )
    hedge_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the calls to shards that may be made a second time, at another "
        "replica, because the first one is slower than 95 % of the recent ones; 0 for none.",
    )
    max_clock_ahead_s: float = Field(
        DEFAULT_AHEAD_S,
        ge=1,
        description="Seconds that the version of what another router stored may be ahead of this "
        "one's clock for it to be overwritten. Give shards the same.",
    )
    repair_interval_s: float = Field(
        5.0,
        ge=0.05,
        le=3600,
        description="Seconds between looks at all replicas; those that miss writes are repaired.",
    )
