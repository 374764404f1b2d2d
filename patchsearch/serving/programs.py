"""How the three services are started: the only place that knows their command lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def _module(name: str) -> tuple[str, ...]:
    # -P: a file router.py in the directory where the user stands must not be run instead.
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True)
class Programs:
    """Command lines of the services without their settings; the installed packages by default."""

    encoder: tuple[str, ...] = _module("encoder_service")
    shard: tuple[str, ...] = _module("shard_service")
    router: tuple[str, ...] = _module("router")


def common_flags(*, host: str, port: int, ready_file: Path, drain_s: float) -> Sequence[str]:
    """Settings that every service gets; the pipe at its standard input ties it to this process."""
    return (
        *("--host", host),
        *("--port", str(port)),
        *("--ready-file", str(ready_file)),
        *("--drain-s", str(drain_s)),
        "--stop-with-stdin",
    )


def encoder_flags(model: str) -> Sequence[str]:
    """Settings of the encoder."""
    return ("--model", model)


def shard_flags(data: Path, name: str) -> Sequence[str]:
    """Settings of a shard."""
    return ("--data", str(data), "--name", name)


def router_flags(placement: Path, encoder: str, *, create_partitions: bool) -> Sequence[str]:
    """Settings of the router; `encoder` is its address."""
    flags = ("--placement", str(placement), "--encoder", encoder)
    return (*flags, "--create-partitions") if create_partitions else flags
