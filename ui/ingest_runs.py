"""Ingests that were started from the page: threads over the client library, with progress."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from ingest import Manifest, PhotoSource, Progress, Summary, find_photos, run_ingest
from patchsearch.client import Client
from patchsearch.errors import FailedPrecondition, NotFound, PatchsearchError
from patchsearch.results import IngestResult

MANIFEST_SUFFIXES = {".csv", ".jsonl", ".ndjson"}
_KEPT_RUNS = 20
_KEPT_REFUSALS = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A photo that was not stored, and why."""

    image_id: str
    reason: str
    message: str


@dataclass(slots=True)
class IngestRun:
    """One run. Written by its thread, read by pages."""

    id: int
    what: str
    """The folder or manifest, as it was given."""
    started: float
    """Seconds since the epoch."""
    total: int = 0
    progress: Progress | None = None
    refusals: list[Refusal] = field(default_factory=list)
    """The first thousand."""
    refused: int = 0
    error: PatchsearchError | None = None
    """What ended it early."""
    is_running: bool = True
    is_stopping: bool = False

    def refuse(self, image_id: str, reason: str, message: str) -> None:
        """Notes a photo that was not stored."""
        self.refused += 1
        if len(self.refusals) < _KEPT_REFUSALS:
            self.refusals.append(Refusal(image_id, reason, message))

    @property
    def done(self) -> int:
        """Photos that are dealt with, refused ones too."""
        stored = 0 if self.progress is None else self.progress.stored + self.progress.unchanged
        return stored + self.refused


class IngestRuns:
    """Starts runs, one at a time, and remembers the last ones. Thread-safe."""

    def __init__(
        self, open_client: Callable[[], Client], is_allowed: Callable[[Path], bool]
    ) -> None:
        """`is_allowed` tells which files may be read, for manifests and links name any."""
        self._open_client = open_client
        self._is_allowed = is_allowed
        self._lock = threading.Lock()
        self._runs: OrderedDict[int, IngestRun] = OrderedDict()
        self._ids = count(1)
        self._thread: threading.Thread | None = None

    def start(self, path: Path, root: Path, shown: str, selector: str) -> IngestRun:
        """Ingests a folder (ids are paths below `root`) or manifest in a thread of its own.

        Raises FailedPrecondition INGEST_RUNNING while another one runs, and what `Manifest.check`
        and `find_photos` raise.
        """
        with self._lock:
            if any(run.is_running for run in self._runs.values()):
                raise FailedPrecondition(
                    "INGEST_RUNNING", "an ingest is running; wait for its end, or stop it"
                )
            sources, total = _sources(path, root)
            run = IngestRun(next(self._ids), shown, time.time(), total)
            self._runs[run.id] = run
            while len(self._runs) > _KEPT_RUNS:
                self._runs.popitem(last=False)
            self._thread = threading.Thread(
                target=self._work, args=(run, sources, selector), name="ingest", daemon=True
            )
            self._thread.start()
        return run

    def get(self, run_id: int) -> IngestRun:
        """Raises NotFound INGEST_NOT_FOUND."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise NotFound("INGEST_NOT_FOUND", f"there is no ingest {run_id} here")
        return run

    def all(self) -> list[IngestRun]:
        """The last runs, newest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def stop(self, run_id: int) -> None:
        """Ends a run after the photos under way; what is stored stays."""
        self.get(run_id).is_stopping = True

    def close(self) -> None:
        """Ends what runs and waits for it."""
        for run in self.all():
            run.is_stopping = True
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _work(self, run: IngestRun, sources: Iterable[PhotoSource], selector: str) -> None:
        def until_stopped() -> Iterable[PhotoSource]:
            for source in sources:
                if run.is_stopping:
                    return
                if self._is_allowed(source.path):
                    yield source
                else:
                    run.refuse(source.image_id, "PHOTO_NOT_ALLOWED", "not below an allowed folder")

        def tell(source: PhotoSource, result: IngestResult) -> None:
            if result.error is not None:
                run.refuse(result.image_id, result.error.reason, result.error.message)

        def move(progress: Progress) -> None:
            run.progress = progress

        try:
            with self._open_client() as client:
                summary: Summary = run_ingest(
                    client,
                    until_stopped(),
                    total=run.total,
                    selector=selector,
                    on_result=tell,
                    on_progress=move,
                )
            run.progress, run.error = summary.progress, summary.stopped_by
        except PatchsearchError as error:
            run.error = error
        finally:
            run.is_running = False


def _sources(path: Path, root: Path) -> tuple[Iterable[PhotoSource], int]:
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        manifest = Manifest(path)
        return manifest, manifest.check()
    found = list(find_photos([str(path)], root))
    return found, len(found)
