"""Exports that take long, as crops do: written in threads, with progress, to be fetched later."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import IO, BinaryIO, cast

from patchsearch.errors import (
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    NotFound,
    PatchsearchError,
    ResourceExhausted,
)
from patchsearch.exports.formats import ExportFormat, ExportRequest

_AT_ONCE = 2
_KEPT_RUNS = 6
_KEPT_WARNINGS = 1000
_CHUNK = 1 << 20


class _Cancelled(Exception):
    """Ends the writing from within."""


@dataclass(slots=True, eq=False)
class ExportRun:
    """One export. Written by its thread, read by pages."""

    id: int
    set_id: int
    set_name: str
    format: ExportFormat
    total: int
    """Patches."""
    done: int = 0
    warnings: list[str] = field(default_factory=list)
    """What could not be exported as it should, and why: the first thousand."""
    warned: int = 0
    error: PatchsearchError | None = None
    """What ended it early."""
    size: int = 0
    """Bytes of the file, once it is finished."""
    is_running: bool = True
    is_cancelled: bool = False
    file: IO[bytes] | None = None
    """An unnamed temporary file, gone with the process or the run, whatever comes first."""

    @property
    def is_finished(self) -> bool:
        """Whether the file can be fetched."""
        return not self.is_running and self.file is not None


class ExportRuns:
    """Starts exports, two at a time, and keeps the files of the last six. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[int, ExportRun] = OrderedDict()
        self._threads: dict[int, threading.Thread] = {}
        self._ids = count(1)

    def start(self, set_id: int, chosen: ExportFormat, asked: ExportRequest) -> ExportRun:
        """Writes an export in a thread of its own; the request's `on_progress` is not used.

        Raises ResourceExhausted EXPORTS_RUNNING while two others are written.
        """
        with self._lock:
            if sum(run.is_running for run in self._runs.values()) >= _AT_ONCE:
                raise ResourceExhausted(
                    "EXPORTS_RUNNING",
                    f"{_AT_ONCE} exports are being written; wait for one, or cancel it",
                )
            self._drop_old()
            run = ExportRun(next(self._ids), set_id, asked.name, chosen, len(asked.items))
            thread = threading.Thread(
                target=self._work, args=(run, asked), name="export", daemon=True
            )
            thread.start()
            self._runs[run.id], self._threads[run.id] = run, thread
        return run

    def get(self, run_id: int) -> ExportRun:
        """Raises NotFound EXPORT_NOT_FOUND."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None:
            raise NotFound(
                "EXPORT_NOT_FOUND",
                f"there is no export {run_id} here (any more): the last {_KEPT_RUNS} are kept "
                "until the page is stopped; export the set again",
            )
        return run

    def of_set(self, set_id: int) -> list[ExportRun]:
        """The last exports of a set, newest first."""
        with self._lock:
            return [run for run in reversed(self._runs.values()) if run.set_id == set_id]

    def cancel(self, run_id: int) -> None:
        """Ends a run after the photo that it is at; nothing of its file stays."""
        self.get(run_id).is_cancelled = True

    def open(self, run_id: int) -> BinaryIO:
        """The file of a finished run, to be read by `pieces` and closed.

        Raises NotFound EXPORT_NOT_FOUND and FailedPrecondition EXPORT_UNFINISHED.
        """
        run = self.get(run_id)
        with self._lock:
            if not run.is_finished or run.file is None:
                raise FailedPrecondition(
                    "EXPORT_UNFINISHED", "this export has no file (yet); look at its page"
                )
            # Of its own, so that it outlives the run.
            return cast(BinaryIO, os.fdopen(os.dup(run.file.fileno()), "rb", buffering=0))

    def close(self) -> None:
        """Ends what runs, waits for it, and closes the files."""
        with self._lock:
            runs, threads = list(self._runs.values()), list(self._threads.values())
        for run in runs:
            run.is_cancelled = True
        for thread in threads:
            thread.join(timeout=30)
        for run in runs:
            _close(run)

    def _drop_old(self) -> None:
        for run_id in [i for i, run in self._runs.items() if not run.is_running][:-_KEPT_RUNS]:
            _close(self._runs.pop(run_id))
            self._threads.pop(run_id, None)

    def _work(self, run: ExportRun, asked: ExportRequest) -> None:
        def moved(done: int, total: int) -> None:
            run.done = done
            if run.is_cancelled:
                raise _Cancelled

        file: IO[bytes] | None = None
        try:
            file = tempfile.TemporaryFile()
            warnings = run.format.write(replace(asked, on_progress=moved), file)
            file.flush()
            run.warned, run.warnings = len(warnings), warnings[:_KEPT_WARNINGS]
            run.size = file.tell()
            if not run.is_cancelled:
                run.file = file
        except _Cancelled:
            pass
        except PatchsearchError as error:
            run.error = error
        except OSError as error:
            run.error = InvalidArgument(
                "FILE_UNWRITABLE",
                f"cannot write the file: {(error.strerror or str(error)).lower()}; free space in "
                "this machine's folder for temporary files",
            )
        # Whoever looks at the page must see an end, whatever it was.
        except Exception as error:
            run.error = InternalError("EXPORT_FAILED", f"the export failed: {error!r}")
        finally:
            if file is not None and run.file is None:
                file.close()
            run.is_running = False


def _close(run: ExportRun) -> None:
    if run.file is not None:
        run.file.close()
        run.file = None


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a file from its start, wherever others are in it."""
    at = 0
    while at < size and (piece := os.pread(file.fileno(), _CHUNK, at)):
        yield piece
        at += len(piece)
