"""`patchsearch restore`: snapshots into a data directory that no shard is running on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import FailedPrecondition

if TYPE_CHECKING:
    from shard_service.snapshots.layout import SnapshotSummary


def restore(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="directories or URLs of snapshots"),
    ],
    data: Annotated[Path, typer.Option(help="data directory of a shard that is not running")],
    fingerprint: Annotated[
        str, typer.Option(help="refuse vectors of an encoder with another fingerprint")
    ] = "",
    shard: Annotated[
        list[str] | None,
        typer.Option(
            "--shard",
            help="SOURCE is a backup of a cluster: what this shard held of it; may be repeated",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put partitions back from snapshots; every byte is compared with its checksum.

    A partition appears whole or not at all. One that fails ends the command; those before it stay,
    and the same command with --shard goes on behind them.
    """
    try:
        from shard_service.snapshots.restoring import is_restored, restore_snapshot
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"restoring needs {error.name}: pip install 'patchsearch[server]'"
        ) from error
    if shard:
        sources = [one for source in sources for one in _snapshots(source, shard)]
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("restore {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    restored: list[dict[str, Any]] = []
    try:
        with bar:
            for source in sources:
                there = is_restored(source, data) if shard else None
                if there is not None:
                    restored.append({**_plain(source, data, there), "already_there": True})
                    continue
                task = bar.add_task(source, total=None)

                def move(done: int, total: int, task: Any = task) -> None:
                    bar.update(task, completed=done, total=total)

                summary = restore_snapshot(source, data, fingerprint=fingerprint, progress=move)
                bar.remove_task(task)
                restored.append(_plain(source, data, summary))
    finally:
        if as_json:
            print_json({"restored": restored})
        else:
            for one in restored:
                typer.echo(
                    f"{one['partition_id']}: {one['images']} images, {one['patches']} patches, "
                    f"{one['bytes']} bytes from {one['source']}"
                    f"{' (was there already)' if 'already_there' in one else ''}"
                )


def _snapshots(source: str, shards: list[str]) -> list[str]:
    """The snapshots in a backup of a cluster that belong on these shards."""
    from cluster.backup import read_backup, snapshots_of

    return snapshots_of(read_backup(source), source, shards)


def _plain(source: str, data: Path, summary: SnapshotSummary) -> dict[str, Any]:
    identity = summary.identity
    return {
        "source": source,
        "partition_id": identity.partition_id,
        "path": str(data / "partitions" / identity.partition_id),
        "images": summary.images,
        "patches": summary.patches,
        "bytes": summary.bytes,
        "encoder": identity.encoder,
        "fingerprint": identity.fingerprint,
    }
