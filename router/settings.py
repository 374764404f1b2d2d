"""The router's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from router.query import MAX_K
from service_runtime.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Every field is a flag, a variable PATCHSEARCH_ROUTER_* and its documentation."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_ROUTER_")

    port: int = Field(7100, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    placement: Path = Field(
        description="JSON file that says which shard answers for which hash range; a new epoch of "
        "it is served without a restart."
    )
    encoder: str = Field(
        "127.0.0.1:7102", min_length=1, description="Address of the encoder, host:port."
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
    ingest_in_flight: int = Field(
        16,
        ge=1,
        le=1024,
        description="Images of one ingest stream that are read and not yet answered, and images "
        "of all streams that are worked on at a time.",
    )
    batch_in_flight: int = Field(
        8, ge=1, le=256, description="Searches of all batches that are at the shards at a time."
    )
