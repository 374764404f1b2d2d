"""Settings of a server: one declaration is a flag, an environment variable and its help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class ServiceSettings(BaseSettings):
    """What every server takes; a flag wins over the environment, the environment over the default.

    A service subclasses it, sets `env_prefix` in `model_config` and adds its fields, each with a
    description. In Python an instance is made with keywords; instances never change.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_show_env_vars=True,
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. There is no TLS yet: anything but loopback needs a "
        "network that you trust.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for Prometheus metrics over HTTP; 0 takes a free one; none unless given.",
    )
    workers: int = Field(16, ge=1, le=1024, description="Calls that are worked on at a time.")
    max_waiting: int = Field(
        256,
        ge=0,
        le=65536,
        description="Calls that may wait for a worker; more are refused with OVERLOADED.",
    )
    max_message_mb: int = Field(
        64, ge=1, le=1024, description="Largest message received or sent, in MiB."
    )
    default_deadline_s: float = Field(
        60.0,
        gt=0,
        le=86400,
        description="Seconds a call has whose caller set no deadline; in a stream, every step.",
    )
    drain_s: float = Field(
        10.0,
        ge=0,
        le=3600,
        description="Seconds that running calls get to finish when the server is told to stop.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important log lines that are written."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people, or one JSON object a line."
    )
    ready_file: Path | None = Field(
        None,
        description="Written with {port, metrics_port, pid} as JSON once it serves, removed "
        "at the end.",
    )
    stop_with_stdin: bool = Field(
        False,
        description="Stop when standard input closes, so that the server never outlives the "
        "program that started it with a pipe.",
    )


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def parse_settings(cls: type[SettingsT], argv: Sequence[str] | None, prog: str) -> SettingsT:
    """Settings from the command line (`sys.argv[1:]` where `argv` is None) and the environment.

    Ends the program: status 0 after `--help`, status 2 with one line a mistake that names flag,
    variable, what was given and the limit.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # pydantic's mypy plugin would know these; without it they look like unknown fields.
        command_line: dict[str, Any] = {"_cli_parse_args": arguments, "_cli_prog_name": prog}
        return cls(**command_line)
    except ValidationError as error:
        _refuse(prog, [_complaint(cls, detail) for detail in error.errors()])
    except SettingsError as error:
        _refuse(prog, [str(error)])


def flag_and_variable(settings: ServiceSettings | type[ServiceSettings], field: str) -> str:
    """How a person sets `field`: "--port or PATCHSEARCH_SHARD_PORT"."""
    prefix = settings.model_config.get("env_prefix", "")
    return f"--{field.replace('_', '-')} or {f'{prefix}{field}'.upper()}"


def _complaint(cls: type[ServiceSettings], detail: Any) -> str:
    location = [str(part) for part in detail["loc"]]
    message = str(detail["msg"])
    message = message[:1].lower() + message[1:]
    if not location:
        return message
    name = flag_and_variable(cls, location[0].replace("-", "_"))
    if detail["type"] == "missing":
        return f"{name} is required"
    return f"{name} was {detail['input']!r}: {message}"


def _refuse(prog: str, complaints: Sequence[str]) -> NoReturn:
    for complaint in complaints:
        print(f"{prog}: {complaint}", file=sys.stderr)
    print(f"{prog}: `{prog} --help` lists every setting", file=sys.stderr)
    raise SystemExit(2)
