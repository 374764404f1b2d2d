"""One run: sources are read ahead, sent, and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ingest.progress import Progress, ProgressCounter
from ingest.read_ahead import read_ahead
from ingest.sources import PhotoSource
from patchsearch.client import Client
from patchsearch.errors import PatchsearchError
from patchsearch.results import IngestResult


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. `stopped_by` is the error that ended it early, None if it went through."""

    progress: Progress
    stopped_by: PatchsearchError | None = None
    interrupted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every photo is stored now."""
        return self.stopped_by is None and not self.interrupted and not self.progress.failed


def run_ingest(
    client: Client,
    sources: Iterable[PhotoSource],
    *,
    total: int | None = None,
    selector: str = "",
    timeout_s: float = 600.0,
    readers: int = 2,
    on_result: Callable[[PhotoSource, IngestResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Stores photos, one after the other as they are found, and tells how it ended.

    Photos are read and digested by `readers` threads, a few ahead. A photo that fails is told to
    `on_result` and the run goes on; run it again to resume: what is stored is known by its digest.
    What ends the run early - the server is gone, a source that cannot be read, Ctrl-C - is in the
    summary, not raised. `on_result` and `on_progress` are called once a photo, in this thread.
    """
    started = time.monotonic()
    counter = ProgressCounter(total, started)
    unanswered: dict[int, PhotoSource] = {}

    def remembered() -> Iterator[PhotoSource]:
        for position, source in enumerate(sources):
            unanswered[position] = source
            yield source

    stopped_by: PatchsearchError | None = None
    interrupted = False
    photos = read_ahead(remembered(), readers=readers)
    results = client.ingest(photos, selector=selector, timeout_s=timeout_s)
    try:
        for result in results:
            counter.add(result)
            source = unanswered.pop(result.position)
            if on_result is not None:
                on_result(source, result)
            if on_progress is not None:
                on_progress(counter.at(time.monotonic()))
    except PatchsearchError as error:
        stopped_by = error
    except KeyboardInterrupt:
        interrupted = True
    finally:
        results.close()
        photos.close()
    return Summary(counter.at(time.monotonic()), stopped_by, interrupted)
