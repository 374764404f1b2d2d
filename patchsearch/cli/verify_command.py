"""`patchsearch verify`: whether a data directory holds what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import FailedPrecondition

if TYPE_CHECKING:
    from shard_service.integrity.verification import PartitionReport

_SHOWN = 100


def verify(
    data: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="data directory of a shard, or of `patchsearch serve`"),
    ],
    as_json: AsJson = False,
) -> None:
    """Check every byte of a data directory that no shard is running on; nothing is changed.

    The exit status is 0 when all is intact and 1 when something is damaged. A shard that starts on
    a damaged directory rebuilds what it can and tells which images are to be ingested again.
    """
    try:
        from shard_service.integrity.verification import verify_data_directory
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "EXTRA_MISSING", f"verifying needs {error.name}: pip install 'patchsearch[server]'"
        ) from error
    bar = Progress(
        TextColumn("verify"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def move(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        reports = list(verify_data_directory(data, move))
    intact = all(report.intact for report in reports)
    if as_json:
        print_json({"intact": intact, "partitions": [_plain(report) for report in reports]})
    else:
        for report in reports:
            _tell(report)
    raise typer.Exit(0 if intact else 1)


def _plain(report: PartitionReport) -> dict[str, object]:
    return {
        "partition": report.partition,
        "intact": report.intact,
        "images": report.images,
        "patches": report.patches,
        "segments": report.segments,
        "damages": [
            {"place": one.place, "image_id": _text(one.image_id), "detail": one.detail}
            for one in report.damages
        ],
        "lost_image_ids": [_text(one) for one in report.lost_ids],
    }


def _tell(report: PartitionReport) -> None:
    state = "intact" if report.intact else f"{len(report.damages)} DAMAGES"
    typer.echo(
        f"{report.partition}: {report.images} images, {report.patches} patches, "
        f"{report.segments} segments: {state}"
    )
    for damage in report.damages[:_SHOWN]:
        image = f" image {_text(damage.image_id)!r}:" if damage.image_id else ""
        typer.echo(f"  {damage.place}:{image} {damage.detail}")
    if len(report.damages) > _SHOWN:
        typer.echo(f"  and {len(report.damages) - _SHOWN} more; --json tells all")
    if report.lost_ids:
        typer.echo(f"  {len(report.lost_ids)} images were lost before; ingest them again:")
        for image_id in report.lost_ids[:_SHOWN]:
            typer.echo(f"    {_text(image_id)}")


def _text(image_id: bytes) -> str:
    return image_id.decode("utf-8", "replace")
