"""`patchsearch shard`: what an operator does with one shard and its partitions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from patchsearch.cli.connection import calls_server
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.cli.shard_calls import ShardCalls
from patchsearch.errors import PatchsearchError
from patchsearch.shard.v1 import shard_service_pb2 as pb
from patchsearch.wire.security import ChannelSecurity

app = typer.Typer(
    name="shard", help="Look after one shard and its partitions.", no_args_is_help=True
)

DEFAULT_SHARD = "127.0.0.1:7101"
_HOURS_S = 6 * 3600.0
_FILE_COLUMNS = 180

Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="PATCHSEARCH_SHARD_ADDRESS", help="host:port of the shard itself"
    ),
]
LongTimeoutS = Annotated[
    float,
    typer.Option("--timeout-s", "--timeout", min=0.001, help="seconds that one call may take"),
]
Partitions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PARTITION]...", help="which; all of the shard where none is named"),
]

Row = Mapping[str, Any]


@app.command()
@calls_server
def describe(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="host:port of the shard")],
    as_json: AsJson = False,
    timeout_s: LongTimeoutS = 30.0,
    *,
    security: ChannelSecurity,
) -> None:
    """Tell the state of the shard's partitions."""
    with ShardCalls(address, timeout_s, security) as shard:
        rows = [_state(one) for one in shard.describe()]
    if as_json:
        print_json({"partitions": rows})
        return
    _print_table(
        rows,
        {
            "partition_id": "partition",
            "images": "images",
            "patches": "patches",
            "growing_patches": "growing",
            "sealed_segments": "sealed",
            "deleted_patches": "deleted",
            "damaged_images": "damaged",
            "profile": "profile",
            "activity": "activity",
        },
    )


@app.command()
@calls_server
def seal(
    partitions: Partitions = None,
    address: Address = DEFAULT_SHARD,
    as_json: AsJson = False,
    timeout_s: LongTimeoutS = _HOURS_S,
    *,
    security: ChannelSecurity,
) -> None:
    """Seal what has grown now, whatever its size, and wait until its index serves."""

    def call(shard: ShardCalls, name: str) -> Row:
        request = pb.SealPartitionRequest(partition_id=name)
        answer = shard.run("sealing", name, shard.stub.SealPartition, request)
        return {"sealed_patches": answer.sealed_patches}

    _each(
        partitions,
        address,
        security,
        timeout_s,
        as_json,
        call,
        {"sealed_patches": "sealed patches"},
    )


@app.command()
@calls_server
def compact(
    partitions: Partitions = None,
    address: Address = DEFAULT_SHARD,
    as_json: AsJson = False,
    timeout_s: LongTimeoutS = _HOURS_S,
    *,
    security: ChannelSecurity,
) -> None:
    """Make one segment of all, without deleted rows and with the shard's index profile."""

    def call(shard: ShardCalls, name: str) -> Row:
        request = pb.CompactPartitionRequest(partition_id=name)
        answer = shard.run("compacting", name, shard.stub.CompactPartition, request)
        return {"merged_segments": answer.merged_segments, "dropped_rows": answer.dropped_rows}

    columns = {"merged_segments": "segments that became one", "dropped_rows": "rows dropped"}
    _each(partitions, address, security, timeout_s, as_json, call, columns)


@app.command()
@calls_server
def scrub(
    partitions: Partitions = None,
    address: Address = DEFAULT_SHARD,
    as_json: AsJson = False,
    timeout_s: LongTimeoutS = _HOURS_S,
    *,
    security: ChannelSecurity,
) -> None:
    """Read everything on the shard's disk and compare it with its checksums.

    Damaged segments are moved aside and rebuilt; damaged images are named: ingest them again. The
    exit status is 1 when something was damaged.
    """

    def call(shard: ShardCalls, name: str) -> Row:
        request = pb.ScrubPartitionRequest(partition_id=name)
        answer = shard.run("scrub", name, shard.stub.ScrubPartition, request)
        return {
            "images": answer.images,
            "patches": answer.patches,
            "segments": answer.segments,
            "damages": [
                {"place": one.place, "image_id": one.image_id, "detail": one.detail}
                for one in answer.damages
            ],
        }

    columns = {"images": "images", "patches": "patches", "segments": "segments"}
    _each(
        partitions, address, security, timeout_s, as_json, call, {**columns, "damages": "damages"}
    )


@app.command()
@calls_server
def snapshot(
    to: Annotated[
        str,
        typer.Option(
            metavar="DIR_OR_URL",
            help="where to, as the shard sees it; each partition becomes a directory in it",
        ),
    ],
    partitions: Partitions = None,
    address: Address = DEFAULT_SHARD,
    as_json: AsJson = False,
    timeout_s: LongTimeoutS = _HOURS_S,
    *,
    security: ChannelSecurity,
) -> None:
    """Copy partitions, each as of one moment, while the shard is searched and written."""

    def call(shard: ShardCalls, name: str) -> Row:
        destination = f"{to.rstrip('/')}/{name}"
        request = pb.SnapshotPartitionRequest(partition_id=name, destination=destination)
        answer = shard.run("snapshot", name, shard.stub.SnapshotPartition, request)
        return {
            "destination": destination,
            "images": answer.images,
            "patches": answer.patches,
            "files": answer.files,
            "bytes": answer.bytes,
        }

    columns = {name: name for name in ("destination", "images", "patches", "files", "bytes")}
    _each(partitions, address, security, timeout_s, as_json, call, columns)


def _each(
    named: Sequence[str] | None,
    address: str,
    security: ChannelSecurity,
    timeout_s: float,
    as_json: bool,
    call: Callable[[ShardCalls, str], Row],
    columns: Mapping[str, str],
) -> None:
    """Calls once for each partition, one after the other; one that fails does not stop the rest."""
    rows: list[Row] = []
    failed = False
    with ShardCalls(address, timeout_s, security) as shard:
        for name in [one.partition_id for one in shard.describe(named or ())]:
            row: dict[str, Any] = {"partition_id": name}
            try:
                row.update(call(shard, name))
            except PatchsearchError as error:
                if error.reason == "UNREACHABLE":
                    raise
                row["error"] = error
                # Who asks for all does not mean those for which nothing is to be done.
                failed |= bool(named) or error.reason != "PARTITION_TOO_SMALL"
            failed |= bool(row.get("damages"))
            rows.append(row)
    if as_json:
        print_json({"partitions": rows})
    else:
        shown = [{**row, "damages": len(row.get("damages", ()))} for row in rows]
        _print_table(
            [row for row in shown if "error" not in row],
            {"partition_id": "partition", **columns},
        )
        for told in rows:
            for damage in told.get("damages", ()):
                image = f" image {damage['image_id']!r}:" if damage["image_id"] else ""
                typer.echo(f"{told['partition_id']}: {damage['place']}:{image} {damage['detail']}")
            if "error" in told:
                typer.echo(f"{told['partition_id']}: {told['error']}", err=True)
    raise typer.Exit(1 if failed else 0)


def _state(one: pb.PartitionDescription) -> dict[str, Any]:
    row = {field.name: getattr(one, field.name) for field in one.DESCRIPTOR.fields}
    row["recall"] = [
        {field.name: getattr(measured, field.name) for field in measured.DESCRIPTOR.fields}
        for measured in one.recall
    ]
    # JSON's numbers lose digits beyond 53 bits in many readers.
    return {**row, **{name: f"{row[name]:016x}" for name in ("hash_start", "hash_end")}}


def _print_table(rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for name, title in columns.items():
        number = isinstance(rows[0][name], int)
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[name]) for name in columns))
    # Where nobody looks, lines may be as long as they are.
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_COLUMNS)
    console.print(table, markup=False, highlight=False)


def _text(value: Any) -> str:
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)
