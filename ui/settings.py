"""The page's settings: one declaration is an environment variable and what the flags of the
command line set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from patchsearch.errors import InvalidArgument
from patchsearch.field_path import split_path
from patchsearch.ports import is_loopback
from patchsearch.wire.channel import DEFAULT_ADDRESS


class UiSettings(BaseSettings):
    """Every field is a flag of `patchsearch ui` and a variable PATCHSEARCH_UI_*. Frozen."""

    model_config = SettingsConfigDict(
        env_prefix="PATCHSEARCH_UI_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Anything but loopback needs an access token, or "
        "--open-to-network.",
    )
    port: int = Field(7180, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    router: str = Field(
        DEFAULT_ADDRESS, min_length=1, description="Address of the router, host:port."
    )
    photos: list[str] = Field(
        default_factory=list,
        description="Folders, or fsspec addresses such as s3://bucket/drives, whose photos may be "
        "shown and ingested; nothing else is ever opened.",
    )
    data: Path = Field(
        Path("patchsearch-desk"),
        description="Folder of the page's own files: the sets (SQLite) and uploaded pictures.",
    )
    access_token_file: Path | None = Field(
        None,
        description="File whose first line people have to give once before they see anything.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Names under which browsers reach the page, besides --host and localhost.",
    )
    open_to_network: bool = Field(
        False, description="Listen beyond loopback without an access token."
    )
    allow_ingest: bool = Field(True, description="Show the page that ingests photos.")
    upload_mb: int = Field(32, ge=1, le=512, description="Largest picture uploaded, in MiB.")
    uploads_mb: int = Field(
        2048, ge=1, le=1_000_000, description="Most that uploaded pictures may take, in MiB."
    )
    photo_mb: int = Field(128, ge=1, le=4096, description="Largest photo that is shown, in MiB.")
    photo_megapixels: int = Field(
        200, ge=1, le=10_000, description="Largest photo that is decoded, in millions of pixels."
    )
    time_fields: list[str] = Field(
        default=[
            *("time", "timestamp", "datetime", "captured_at", "capture_time", "recorded_at"),
            *("taken_at", "date_time", "date"),
        ],
        description="Metadata fields that tell when a photo was taken, in any object: paths such "
        "as camera.time, or their last keys. The one that most hits have makes a timeline.",
    )
    position_fields: list[str] = Field(
        default=[
            *("lat,lon", "lat,lng", "lat,long", "latitude,longitude"),
            *("gps_lat,gps_lon", "gps_latitude,gps_longitude"),
        ],
        description="Pairs of metadata fields, with a comma between them, that tell latitude and "
        "longitude in degrees. The pair that most hits have makes a map.",
    )
    timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Seconds to wait for the router's answers."
    )

    @property
    def position_pairs(self) -> list[tuple[str, str]]:
        """The names of `position_fields`, latitude first."""
        pairs = [pair.partition(",") for pair in self.position_fields]
        return [(one.strip(), other.strip()) for one, _, other in pairs]

    @model_validator(mode="after")
    def _fields_are_paths(self) -> Self:
        for path in (*self.time_fields, *(name for pair in self.position_pairs for name in pair)):
            try:
                split_path(path)
            except InvalidArgument as error:
                raise ValueError(
                    f"{error.message}; position fields are pairs such as gps.lat,gps.lon"
                ) from error
        return self

    @model_validator(mode="after")
    def _strangers_are_kept_out(self) -> Self:
        if (
            not is_loopback(self.host)
            and self.access_token_file is None
            and not self.open_to_network
        ):
            raise ValueError(
                f"host {self.host} can be reached by others; give --access-token-file, or "
                "--open-to-network where the network itself is kept safe"
            )
        return self


def make_settings(**given: Any) -> UiSettings:
    """Settings from what was given (None: not given) and the environment.

    Raises InvalidArgument SETTING_INVALID that names flag, value and limit.
    """
    try:
        return UiSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        complaints = []
        for detail in error.errors():
            message = str(detail["msg"]).removeprefix("Value error, ")
            where = "".join(f"--{str(part).replace('_', '-')}: " for part in detail["loc"][:1])
            complaints.append(f"{where}{message[:1].lower()}{message[1:]}")
        raise InvalidArgument("SETTING_INVALID", "; ".join(complaints)) from error
