"""`patchsearch export`: a judged set for annotation and training tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar

from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import AsJson
from patchsearch.errors import InvalidArgument
from patchsearch.exports.fiftyone_dataset import to_fiftyone
from patchsearch.exports.formats import FORMATS, ExportRequest, format_named
from patchsearch.exports.items import SetItem, Verdict, with_verdict
from patchsearch.exports.set_file import read_set
from patchsearch.photo_reader import PhotoReader

_FIFTYONE = "fiftyone"
_ALL = "all"
_VERDICTS = {"yes": Verdict.YES, "no": Verdict.NO, "skip": Verdict.SKIP, "none": Verdict.UNJUDGED}


def export(
    file: Annotated[Path, typer.Argument(help="the set: .csv or .jsonl, see `patchsearch judge`")],
    format: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)} or {_FIFTYONE}")],
    out: Annotated[Path | None, typer.Option(help="file to write; not for fiftyone")] = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(_VERDICTS)} or {_ALL}, repeatable; default: yes"),
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option(
            help="folder or s3://bucket/ whose photos may be read, repeatable; crops need it, YOLO "
            "puts the photos in the zip"
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="name of the set; default: the file's")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a set as COCO JSON, CSV, YOLO, Label Studio tasks, CVAT XML, crops, or to FiftyOne.

    Items that have no crop, because their photo is gone, are named and the exit status is 1.
    """
    items = _chosen(read_set(file), verdict or ["yes"])
    title = name or file.stem
    warnings: list[str] = []
    if format == _FIFTYONE:
        to_fiftyone(items, name=title).persistent = True
    else:
        made = format_named(format)
        if out is None:
            raise typer.BadParameter(f"--format {format} needs --out FILE{made.suffix}")
        with _bar() as bar:
            task = bar.add_task("export", total=None)
            request = ExportRequest(
                items,
                title,
                PhotoReader(photos) if photos else None,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
            warnings = made.write(request, out)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    where = f"the FiftyOne data set {title}" if out is None else str(out)
    if as_json:
        print_json({"format": format, "out": where, "items": len(items), "warnings": warnings})
    else:
        typer.echo(f"{len(items)} patches in {where}")
    if warnings:
        raise typer.Exit(1)


def _chosen(items: list[SetItem], names: list[str]) -> list[SetItem]:
    if _ALL in names:
        return items
    unknown = [name for name in names if name not in _VERDICTS]
    if unknown:
        raise typer.BadParameter(f"--verdict is {', '.join(_VERDICTS)} or {_ALL}, not {unknown[0]}")
    chosen = with_verdict(items, {_VERDICTS[name] for name in names})
    if not chosen:
        raise InvalidArgument(
            "SET_EMPTY",
            f"none of the {len(items)} patches has the verdict {' or '.join(names)}; judge the "
            "set, or export --verdict all",
        )
    return chosen


def _bar() -> ProgressBar:
    return ProgressBar(
        TextColumn("export"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
