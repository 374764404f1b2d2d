"""The settings of the program that offers the operations to controllers."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from cluster.plan import DEFAULT_RATE_MB_S
from service_runtime.settings import ServiceSettings


class OperatorSettings(ServiceSettings):
    """Every field is a flag, a variable PATCHSEARCH_OPERATOR_* and its documentation."""

    model_config = SettingsConfigDict(env_prefix="PATCHSEARCH_OPERATOR_")

    port: int = Field(7103, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    placement: str | Path = Field(
        description="The placement that routers follow: a JSON file, or etcd://host:port/key "
        "(etcds:// over TLS)."
    )
    rate_mb_s: float = Field(
        DEFAULT_RATE_MB_S,
        gt=0,
        description="Megabytes a second that copies are taken to run at, for the seconds in plans.",
    )
