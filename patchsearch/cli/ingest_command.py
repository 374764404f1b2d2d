"""`patchsearch ingest`: photos in, with progress; what is stored already is skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from ingest import (
    FailureLog,
    Manifest,
    PhotoSource,
    Progress,
    RayOptions,
    Summary,
    find_photos,
    run_ingest,
    run_ingest_on_ray,
)
from patchsearch.cli.connection import calls_server
from patchsearch.cli.json_output import print_json
from patchsearch.cli.options import DEFAULT_ADDRESS, Address, AsJson
from patchsearch.client import Client
from patchsearch.results import IngestResult
from patchsearch.wire.security import ChannelSecurity


class Runner(StrEnum):
    """Where photos are read and sent from."""

    LOCAL = "local"
    RAY = "ray"


MANIFEST_SUFFIXES = {".csv", ".jsonl", ".ndjson"}


@calls_server
def ingest(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS...",
            help="folders, files, patterns such as 'drive/**/*.jpg', or manifests (.csv, .jsonl)",
        ),
    ],
    root: Annotated[Path | None, typer.Option(help="ids are paths relative to this folder")] = None,
    selector: Annotated[str, typer.Option(help="patch selector; default: the server's")] = "",
    errors_to: Annotated[
        Path | None, typer.Option(help="write the photos that failed to this JSONL file")
    ] = None,
    runner: Annotated[
        Runner, typer.Option(help="read and send from this process, or by workers of a Ray cluster")
    ] = Runner.LOCAL,
    ray_cluster: Annotated[
        str | None,
        typer.Option(
            envvar="RAY_ADDRESS",
            help="Ray cluster, as `ray start` tells it; without it one is started on this machine",
        ),
    ] = None,
    ray_workers: Annotated[int, typer.Option(min=1, help="workers of the Ray runner")] = 2,
    as_json: AsJson = False,
    address: Address = DEFAULT_ADDRESS,
    *,
    security: ChannelSecurity,
) -> None:
    """Store photos. Run it again to go on: what is in is skipped by content digest.

    A photo that cannot be stored is reported and the run goes on; the exit status is 1 then.
    """
    sources, total = _sources(photos, root)
    console = Console(stderr=True)
    bar = ProgressBar(
        TextColumn("ingest"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("photos · {task.fields[rate]:.1f} photos/s · {task.fields[patches]} patches ·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
    with ExitStack() as stack:
        failures = stack.enter_context(FailureLog(errors_to)) if errors_to else None
        stack.enter_context(bar)
        task = bar.add_task("ingest", total=total, rate=0.0, patches=0)

        def tell(source: PhotoSource, result: IngestResult) -> None:
            if result.error is not None:
                bar.console.print(
                    f"failed: {source.path}: {result.error}", markup=False, highlight=False
                )
                if failures is not None:
                    failures.add(source, result)

        def move(state: Progress) -> None:
            bar.update(task, completed=state.done, rate=state.photos_per_s, patches=state.patches)

        if runner is Runner.RAY:
            # Ray tells of dead workers on standard output, which holds the result alone.
            with redirect_stdout(sys.stderr):
                summary = run_ingest_on_ray(
                    address,
                    sources,
                    options=RayOptions(ray_cluster, ray_workers),
                    security=security,
                    total=total,
                    selector=selector,
                    on_result=tell,
                    on_progress=move,
                )
        else:
            client = stack.enter_context(Client(address, security=security))
            summary = run_ingest(
                client, sources, total=total, selector=selector, on_result=tell, on_progress=move
            )
    _report(summary, as_json)
    if summary.stopped_by is not None:
        raise summary.stopped_by
    if summary.interrupted:
        raise typer.Exit(130)
    raise typer.Exit(0 if summary.is_complete else 1)


def _sources(photos: list[str], root: Path | None) -> tuple[Iterable[PhotoSource], int | None]:
    manifests = [Manifest(Path(p)) for p in photos if Path(p).suffix.lower() in MANIFEST_SUFFIXES]
    places = [p for p in photos if Path(p).suffix.lower() not in MANIFEST_SUFFIXES]
    total = sum(manifest.check() for manifest in manifests)
    listed: list[PhotoSource] = [source for manifest in manifests for source in manifest]
    found = list(find_photos(places, root)) if places else []
    return [*listed, *found], total + len(found)


def _report(summary: Summary, as_json: bool) -> None:
    counts = summary.progress
    if as_json:
        print_json(
            {
                "stored": counts.stored,
                "unchanged": counts.unchanged,
                "failed": counts.failed,
                "patches": counts.patches,
                "elapsed_s": round(counts.elapsed_s, 3),
                "complete": summary.is_complete,
            }
        )
        return
    typer.echo(
        f"{counts.stored} stored with {counts.patches} patches, {counts.unchanged} were stored"
        f" already, {counts.failed} failed, {counts.elapsed_s:.1f} s"
    )
