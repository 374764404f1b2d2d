"""Plans, outcomes and states of a cluster as tables and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cluster.operator import Outcome
from cluster.plan import MemberChange, Plan, SplitChange
from cluster.status import ClusterStatus, PartitionStatus
from patchsearch.cli.json_output import plain

_FILE_COLUMNS = 160
_PARTITIONS_SHOWN = 32
_STYLES = {"behind": "yellow", "joining": "cyan", "missing": "red", "away": "red"}


def plain_plan(plan: Plan) -> dict[str, Any]:
    """A plan's fields and what follows from them, as JSON has them."""
    document: dict[str, Any] = plain(plan)
    for name in ("members", "splits", "repairs"):
        for row, change in zip(document[name], getattr(plan, name), strict=True):
            row["what"] = change.what
            row["copied_bytes"] = change.copied_bytes
    for row, one in zip(document["leftovers"], plan.leftovers, strict=True):
        row["what"] = one.what
    return {
        **document,
        "copied_bytes": plan.copied_bytes,
        "seconds": round(plan.seconds, 3),
        "empty": plan.empty,
    }


def plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON has it."""
    document: dict[str, Any] = plain(outcome)
    return {**document, "seconds": round(outcome.seconds, 3)}


def print_plan(plan: Plan, *, dry_run: bool) -> None:
    """Prints what a plan moves, how much that is, and how long it takes."""
    for note in plan.notes:
        typer.echo(note)
    for leftover in plan.leftovers:
        typer.echo(f"{'first: ' if leftover.finished_first else ''}{leftover.what}")
    if plan.empty:
        typer.echo(f"{plan.command}: nothing to do (epoch {plan.epoch})")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("partition", "what", "patches", "bytes to copy"):
        right = title in ("patches", "bytes to copy")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    changes: list[MemberChange | SplitChange] = [*plan.members, *plan.splits]
    for change in changes:
        table.add_row(
            change.partition_id, change.what, _number(change.patches), _number(change.copied_bytes)
        )
    for repair in plan.repairs:
        table.add_row(repair.partition_id, repair.what, "", _number(repair.copied_bytes))
    if table.row_count:
        _print(table)
    changed = [t for t in plan.totals if t.partitions_before != t.partitions_after]
    if changed:
        totals = Table(box=None, pad_edge=False)
        totals.add_column("shard")
        for title in ("partitions", "then", "patches", "then"):
            totals.add_column(title, justify="right")
        for total in plan.totals:
            totals.add_row(
                total.shard,
                _number(total.partitions_before),
                _number(total.partitions_after),
                _number(total.patches_before),
                _number(total.patches_after),
            )
        _print(totals)
    typer.echo(
        f"{plan.command}: {_number(plan.copied_bytes)} bytes to copy, about {plan.seconds:.1f} s "
        f"at {plan.rate_mb_s:g} MB/s{'; nothing was changed' if dry_run else ''}"
    )


def print_outcome(outcome: Outcome) -> None:
    """Prints what an operation came to."""
    rate = outcome.copied_bytes / 1e6 / outcome.seconds if outcome.seconds else 0.0
    typer.echo(
        f"done in {outcome.seconds:.1f} s, {_number(outcome.copied_bytes)} bytes copied "
        f"({rate:.1f} MB/s over all); epoch {outcome.epoch} is in force"
    )
    for what in outcome.left_undone:
        typer.echo(f"left undone: {what}", err=True)


def status_view(status: ClusterStatus) -> RenderableType:
    """The state of a cluster as tables."""
    shards = _table("shard", "address", "partitions", "images", "patches", "MB", "state", right=4)
    for one in status.shards:
        state = Text("ok" if one.available else f"away: {one.problem}")
        if not one.available:
            state.stylize("red")
        for names, word in ((one.missing, "missing"), (one.behind, "behind")):
            if names:
                state = Text(f"{word}: {_some(names)}", _STYLES[word])
        if one.activity:
            state.append(f"  {one.activity}", "dim")
        held = _number(one.partitions) + (f" + {one.joining} joining" if one.joining else "")
        shards.add_row(
            one.shard,
            one.address,
            held,
            _number(one.images),
            _number(one.patches),
            f"{one.disk_bytes / 1e6:.1f}",
            state,
        )
    partitions = _table("partition", "from hash", "images", "patches", "MB", "replicas", right=3)
    shown = _worst_first(status.partitions)[:_PARTITIONS_SHOWN]
    for partition in shown:
        replicas = Text()
        for position, replica in enumerate(partition.replicas):
            replicas.append("  " if position else "")
            replicas.append(replica.shard)
            if replica.state != "ok":
                replicas.append(f" ({replica.state})", _STYLES[replica.state])
        partitions.add_row(
            partition.partition_id,
            partition.hash_start,
            _number(partition.images),
            _number(partition.patches),
            f"{partition.disk_bytes / 1e6:.1f}",
            replicas,
        )
    head = (
        f"epoch {status.epoch}: {len(status.partitions)} partitions on {len(status.shards)} "
        f"shards, {_number(status.images)} images, {_number(status.patches)} patches"
    )
    parts: list[RenderableType] = [Text(head), Text(), shards, Text(), partitions]
    if len(status.partitions) > len(shown):
        parts.append(Text(f"and {len(status.partitions) - len(shown)} more; --json tells all"))
    parts += [Text(one.what, "yellow") for one in status.leftovers]
    return Group(*parts)


def print_status(status: ClusterStatus) -> None:
    """Prints the tables once."""
    _print(status_view(status))


def _worst_first(partitions: Sequence[PartitionStatus]) -> list[PartitionStatus]:
    """Those with a replica that is not well come first; else in the order of hashes."""
    return sorted(partitions, key=lambda p: all(r.state == "ok" for r in p.replicas))


def _table(*titles: str, right: int) -> Table:
    """Columns of which `right`, those before the last, hold numbers."""
    table = Table(box=None, pad_edge=False)
    for position, title in enumerate(titles):
        number = len(titles) - 1 - right <= position < len(titles) - 1
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    return table


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _print(what: RenderableType) -> None:
    # Where nobody looks, lines may be as long as they are.
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_COLUMNS)
    console.print(what, markup=False, highlight=False)


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ")
