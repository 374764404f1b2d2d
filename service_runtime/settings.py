"""Settings of a server: one declaration is a flag, an environment variable and its help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from service_runtime.tls import ChannelSecurity, ServerSecurity


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
        description="Address to listen on. Anything but loopback needs TLS and callers that are "
        "known (see docs/security.md), or --insecure.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for Prometheus metrics over HTTP; 0 takes a free one; none unless given.",
    )
    tls_cert: Path | None = Field(
        None,
        description="PEM file of this service's certificate and its chain; its port then speaks "
        "TLS only. Other services are shown it, too. Read again when it changes.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the unencrypted private key of --tls-cert."
    )
    tls_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that sign the certificates of the services that "
        "this one calls; they are then called over TLS.",
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that sign callers' certificates (mTLS): whoever "
        "shows none is not let in. A certificate is what lets services call encoders and shards.",
    )
    tls_client_names: list[str] = Field(
        default_factory=list,
        description="Names (of the subject, or alternative ones) of the callers' certificates that "
        "are let in; all that --tls-client-ca signed where none is given.",
    )
    tokens: Path | None = Field(
        None,
        description="File of the tokens that callers may show (`patchsearch token new`); every "
        "call then needs one of a sufficient role. Read again when it changes.",
    )
    service_token_file: Path | None = Field(
        None,
        description="File whose first line is the token that is sent to the services that this one "
        "calls; for where TLS ends in a proxy in front of them.",
    )
    insecure: bool = Field(
        False,
        description="Listen beyond loopback even without TLS or without callers being known, and "
        "send tokens in the clear: for a network that is kept safe by other means.",
    )
    audit_file: Path | None = Field(
        None,
        description="File that gets one JSON line for each call: who, what kind, how many hits, "
        "outcome. Reopened when it is moved away; - is standard error; none unless given.",
    )
    workers: int = Field(16, ge=1, le=1024, description="Calls that are worked on at a time.")
    max_waiting: int = Field(
        256,
        ge=0,
        le=65536,
        description="Calls that may wait for a worker; more are refused with OVERLOADED.",
    )
    max_wait_s: float = Field(
        0.5,
        gt=0,
        le=3600,
        description="Seconds that calls may wait for a worker; while they wait longer, new ones "
        "are refused with OVERLOADED.",
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
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/]+:[0-9]+$",
        description="Collector that traces are sent to over OTLP/gRPC, such as "
        "http://127.0.0.1:4317; no traces unless given.",
    )
    otlp_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced; a caller's own trace is always "
        "continued as it decided.",
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

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls-cert and tls-key belong together: give both, or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls-client-ca needs tls-cert and tls-key: it is about TLS callers")
        if self.tls_client_names and self.tls_client_ca is None:
            raise ValueError("tls-client-names needs tls-client-ca: names alone prove nothing")
        return self

    def server_security(self) -> ServerSecurity | None:
        """TLS of this server's port; None where it speaks plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return ServerSecurity(cert=self.tls_cert, key=self.tls_key, client_ca=self.tls_client_ca)

    def channel_security(self) -> ChannelSecurity:
        """What `open_channel` needs for the services that this one calls."""
        if self.tls_ca is None:
            return ChannelSecurity(
                token_file=self.service_token_file, plaintext_token=self.insecure
            )
        return ChannelSecurity(
            ca=self.tls_ca,
            cert=self.tls_cert,
            key=self.tls_key,
            token_file=self.service_token_file,
        )

    @property
    def program(self) -> str:
        """Name of the program that takes these settings: "patchsearch-shard"."""
        prefix = self.model_config.get("env_prefix", "")
        return prefix.strip("_").replace("_", "-").lower() or "patchsearch"


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
