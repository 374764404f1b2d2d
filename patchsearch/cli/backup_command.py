"""`patchsearch backup`: a whole cluster into one place, while it serves."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from patchsearch.cli.cluster_options import PlacementPlace, check_installed
from patchsearch.cli.connection import calls_server
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.wire.security import ChannelSecurity


@calls_server
def backup(
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DIR_OR_URL", help="the same place here and, below --snapshot-roots, on shards"
        ),
    ],
    placement: PlacementPlace,
    as_json: AsJson = False,
    *,
    security: ChannelSecurity,
) -> None:
    """Copy one replica of each partition, and the placement; run it again to go on.

    Put back with `patchsearch restore DIR_OR_URL --shard NAME --data DIR` for each shard, and
    `patchsearch cluster init --from-backup DIR_OR_URL`.
    """
    check_installed()
    from cluster.backup import take_backup
    from patchsearch.cli.cluster_session import opened

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("backup {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with opened(placement, security) as session, bar:
        task = bar.add_task("", total=None)

        def move(partition_id: str, done: int, total: int) -> None:
            bar.update(task, description=partition_id, completed=done, total=total)

        taken = take_backup(session.store, session.shards, destination, move)
    if as_json:
        print_json(
            {
                "destination": destination,
                "epoch": taken.placement.epoch,
                "partitions": taken.partitions,
                "images": taken.images,
                "bytes": taken.bytes,
            }
        )
    else:
        typer.echo(
            f"{len(taken.partitions)} partitions, {taken.images} images, {taken.bytes} bytes in "
            f"{destination}, epoch {taken.placement.epoch}"
        )
