"""Photos worked on side by side, in processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from evaluation.study.embedding import EncoderChoice
from evaluation.study.photo_work import PhotoJob, PhotoResult, open_photo_work
from evaluation.study.process import prepare_process
from patchsearch.errors import InternalError, PatchsearchError

_STOP_S = 5.0
_AHEAD = 2
"""Jobs that a worker has at hand: the next one waits in its pipe while it is at work."""


@dataclass(frozen=True)
class _Failure:
    """Why a worker could not do its job."""

    reason: str
    message: str


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    jobs: deque[PhotoJob]


class PhotoWorkers:
    """Processes that do photo jobs, each with models of its own on one thread.

    A context manager. The processes end when it closes, and also when this process is killed: each
    reads from a pipe of which this process alone holds the other end.
    """

    def __init__(self, count: int, saliency: str | None, encoder: EncoderChoice) -> None:
        context = multiprocessing.get_context("spawn")
        self._workers = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve,
                args=(theirs, saliency, encoder),
                name=f"photo-worker-{number}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours, deque()))

    def __enter__(self) -> PhotoWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            # A worker that is at work would find the closed pipe only after its photo.
            worker.process.join(0 if kind else _STOP_S)
            if worker.process.is_alive():
                worker.process.terminate()
                worker.process.join()

    def results(self, jobs: Iterable[PhotoJob]) -> Iterator[PhotoResult]:
        """The results of all jobs, in the order in which they are finished.

        Raises InternalError: WORKER_DIED where a worker ended in the middle of a photo, else with
        the reason of what went wrong in it (WORKER_FAILED for what is no PatchsearchError).
        """
        waiting = iter(jobs)
        for _ in range(_AHEAD):
            for worker in self._workers:
                _give(worker, waiting)
        while busy := {worker.pipe: worker for worker in self._workers if worker.jobs}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                result = _taken(worker)
                worker.jobs.popleft()
                _give(worker, waiting)
                yield result


def _give(worker: _Worker, waiting: Iterator[PhotoJob]) -> None:
    job = next(waiting, None)
    if job is None:
        return
    worker.jobs.append(job)
    try:
        worker.pipe.send(job)
    except OSError as error:
        raise _died(worker) from error


def _taken(worker: _Worker) -> PhotoResult:
    try:
        answer: PhotoResult | _Failure = worker.pipe.recv()
    except (EOFError, OSError) as error:
        raise _died(worker) from error
    if isinstance(answer, PhotoResult):
        return answer
    raise InternalError(answer.reason, f"{worker.jobs[0].path}: {answer.message}")


def _died(worker: _Worker) -> InternalError:
    worker.process.join(_STOP_S)
    return InternalError(
        "WORKER_DIED",
        f"a worker process ended with status {worker.process.exitcode} at {worker.jobs[0].path};"
        " where memory was short, use fewer --workers; run again to go on from here",
    )


def _serve(pipe: Connection, saliency: str | None, encoder: EncoderChoice) -> None:
    # Ctrl-C goes to the whole group; the parent closes the pipe when it is done with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_process()
    try:
        try:
            work = open_photo_work(saliency, encoder)
            while True:
                pipe.send(work.do(pipe.recv()))
        except PatchsearchError as error:
            pipe.send(_Failure(error.reason, error.message))
        except (EOFError, OSError):
            raise
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            pipe.send(_Failure("WORKER_FAILED", told))
    except (EOFError, OSError):
        return
