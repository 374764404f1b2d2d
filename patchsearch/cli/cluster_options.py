"""Options that the commands for clusters share, and what all of them check."""

from __future__ import annotations

from typing import Annotated

import typer

from patchsearch.errors import FailedPrecondition, InvalidArgument

PlacementPlace = Annotated[
    str,
    typer.Option(
        "--placement",
        envvar="PATCHSEARCH_PLACEMENT",
        help="the file that routers follow, or etcd://host:port[,host:port...]/key",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="print what would move, bytes and seconds; change nothing")
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate-mb-s", min=0.001, help="megabytes a second that copies are taken to run at"
    ),
]
Partitions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PARTITION]...", help="which; all where none is named"),
]


def check_installed() -> None:
    """Raises FailedPrecondition EXTRA_MISSING where a package is missing that these need."""
    try:
        import cluster.operator  # noqa: F401
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING",
            f"looking after a cluster needs {error.name}: pip install 'patchsearch[server]'",
        ) from error


def shard_addresses(shards: list[str]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for one in shards:
        name, equals, address = one.partition("=")
        host, colon, port = address.rpartition(":")
        if not (name and equals and host and colon and port.isdecimal()):
            raise InvalidArgument("SHARD_INVALID", f"{one!r} is no shard; write NAME=HOST:PORT")
        if name in addresses or address in addresses.values():
            raise InvalidArgument("SHARD_INVALID", f"{one!r} is there twice; name each shard once")
        addresses[name] = address
    return addresses
