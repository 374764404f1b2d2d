"""`patchsearch cluster`: what an operator does with all shards together, while they serve."""

from __future__ import annotations

from typing import Annotated

import typer

from patchsearch.cli.cluster_change import Change, changes_cluster
from patchsearch.cli.cluster_options import (
    DryRun,
    Partitions,
    PlacementPlace,
    check_installed,
    shard_addresses,
)
from patchsearch.cli.connection import calls_server
from patchsearch.cli.options import AsJson
from patchsearch.errors import InvalidArgument
from patchsearch.wire.security import ChannelSecurity

app = typer.Typer(
    name="cluster",
    help="Look after a cluster: every command may be killed and run again, with traffic on.",
    no_args_is_help=True,
)


@app.command("init")
@calls_server
def init(
    placement: PlacementPlace,
    shard: Annotated[
        list[str] | None,
        typer.Option("--shard", metavar="NAME=HOST:PORT", help="a shard; give each one"),
    ] = None,
    from_backup: Annotated[
        str, typer.Option(metavar="DIR_OR_URL", help="take the partitions of this backup instead")
    ] = "",
    partitions: Annotated[
        int | None, typer.Option(min=1, help="partitions; as many as shards unless given")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="replicas of each partition")] = 1,
    create: Annotated[
        bool, typer.Option("--create", help="create the partitions too; needs --encoder")
    ] = False,
    encoder: Annotated[
        str, typer.Option(help="host:port of the encoder whose vectors they will hold")
    ] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    *,
    security: ChannelSecurity,
) -> None:
    """Write the first placement: equal hash ranges, dealt out to the shards.

    The routers create the partitions when they start with --create-partitions; with --create this
    command does. With --from-backup the shards are where they were, unless each is given.
    """
    addresses = shard_addresses(shard or [])
    if not addresses and not from_backup:
        raise InvalidArgument("SHARD_MISSING", "name each shard with --shard NAME=HOST:PORT")
    if create and not encoder:
        raise InvalidArgument(
            "ENCODER_MISSING", "partitions belong to an encoder: name it with --encoder host:port"
        )
    check_installed()
    from patchsearch.cli.cluster_founding import found

    found(
        placement,
        addresses,
        partitions=partitions or len(addresses),
        replicas=replicas,
        encoder=encoder if create else "",
        backup=from_backup,
        dry_run=dry_run,
        as_json=as_json,
        security=security,
    )


@app.command()
@calls_server
def status(
    placement: PlacementPlace,
    watch: Annotated[bool, typer.Option("--watch", help="go on until interrupted")] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, help="seconds between looks with --watch")
    ] = 1.0,
    as_json: AsJson = False,
    *,
    security: ChannelSecurity,
) -> None:
    """Tell the state of shards, partitions and replicas.

    The exit status is 1 where something is not as it should be: a shard away, a replica missing or
    behind, or left by a command that was killed.
    """
    check_installed()
    from patchsearch.cli.cluster_status import show_status

    well = show_status(placement, security, watch=watch, every_s=every_s, as_json=as_json)
    raise typer.Exit(0 if well else 1)


@app.command("add-shard")
@changes_cluster
def add_shard(
    name: Annotated[str, typer.Argument(metavar="NAME", help="its name in the placement")],
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="where it listens")],
) -> Change:
    """Take a running shard in, and move to it its share of the partitions."""
    newcomers = shard_addresses([f"{name}={address}"])
    return Change(lambda planner: planner.add_shard(name, address), newcomers)


@app.command("remove-shard")
@changes_cluster
def remove_shard(
    name: Annotated[str, typer.Argument(metavar="NAME", help="its name in the placement")],
    lost: Annotated[
        bool, typer.Option("--lost", help="it is gone for good: copy from other replicas")
    ] = False,
) -> Change:
    """Move all that a shard holds to the others, then take it out of the placement."""
    return Change(lambda planner: planner.remove_shard(name, lost=lost))


@app.command()
@changes_cluster
def move(
    partition: Annotated[str, typer.Argument(metavar="PARTITION", help="its id")],
    source: Annotated[str, typer.Argument(metavar="FROM", help="shard that holds it")],
    target: Annotated[str, typer.Argument(metavar="TO", help="shard that is to hold it")],
) -> Change:
    """Move one replica of a partition from a shard to another one."""
    return Change(lambda planner: planner.move(partition, source, target))


@app.command()
@changes_cluster
def split(
    partitions: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION]...", help="which")
    ] = None,
    larger_than: Annotated[
        int | None, typer.Option(min=0, help="those with more patches than this")
    ] = None,
) -> Change:
    """Make two partitions of one, from stored vectors, on the shards that hold it."""
    if not partitions and larger_than is None:
        raise InvalidArgument("PARTITION_MISSING", "name partitions, or give --larger-than PATCHES")
    return Change(lambda planner: planner.split(partitions or (), larger_than))


@app.command()
@changes_cluster
def rebalance() -> Change:
    """Move partitions from full shards to empty ones until they are level."""
    return Change(lambda planner: planner.rebalance())


@app.command("set-replicas")
@changes_cluster
def set_replicas(
    count: Annotated[int, typer.Argument(metavar="COUNT", help="replicas that each is to have")],
    partitions: Partitions = None,
) -> Change:
    """Give partitions more replicas, on the emptiest shards, or fewer."""
    return Change(lambda planner: planner.set_replicas(count, partitions or ()))


@app.command()
@changes_cluster
def repair(
    partitions: Partitions = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="take back what a killed command was filling")
    ] = False,
) -> Change:
    """Make replicas equal again, fill replaced disks, and end what killed commands have left."""
    return Change(lambda planner: planner.repair(partitions or (), abandon=abandon))
