"""Putting a folder of photographs in, with a progress bar, and what that took."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from patchsearch import Client, IngestOutcome, Photo


@dataclass(frozen=True)
class IngestFigures:
    """What an ingest took. `photos_per_s` counts photos that were selected and embedded."""

    photos: int
    patches: int
    failed: int
    photos_per_s: float


def put_in(client: Client, photos: Sequence[Path], record: Path, console: Console) -> IngestFigures:
    """Ingests photos; each one's id is its file name.

    Photos that are stored already are skipped by digest. When all are, the figures of the run that
    stored them are read back from `record`.
    """
    bar = Progress(
        TextColumn("ingest"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("photos · {task.fields[rate]:.1f} photos/s · {task.fields[patches]} patches ·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
    stored = failed = patches = 0
    begin = time.perf_counter()
    with bar:
        task = bar.add_task("ingest", total=len(photos), rate=0.0, patches=0)
        for result in client.ingest(Photo(path.name, path) for path in photos):
            patches += result.patches
            if result.outcome is IngestOutcome.STORED:
                stored += 1
            elif result.outcome is IngestOutcome.FAILED:
                failed += 1
                bar.console.print(f"left out {result.image_id}: {result.error}", markup=False)
            rate = stored / (time.perf_counter() - begin)
            bar.update(task, advance=1, rate=rate, patches=patches)
    seconds = time.perf_counter() - begin
    if stored == 0 and record.is_file():
        console.print("every photo was stored already; the ingest figures are of the first run")
        return IngestFigures(**json.loads(record.read_text(encoding="utf-8")))
    figures = IngestFigures(len(photos) - failed, patches, failed, round(stored / seconds, 2))
    record.write_text(json.dumps(asdict(figures)) + "\n", encoding="utf-8")
    return figures
