"""A run on a Ray cluster: the same reading and sending, in workers on many machines."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ingest.progress import Progress, ProgressCounter
from ingest.ray_worker import BatchOutcome, IngestWorker
from ingest.run import Summary
from ingest.sources import PhotoSource
from patchsearch.errors import FailedPrecondition, PatchsearchError, Unavailable
from patchsearch.results import IngestOutcome, IngestResult
from patchsearch.wire.security import ChannelSecurity

_TURN_S = 0.5
_CONNECT_S = 10.0
_SLOTS = 2


@dataclass(frozen=True, slots=True)
class RayOptions:
    """`cluster`: address of a running Ray cluster, one of this machine alone where None. `workers`:
    processes that read and send. `batch`: photos that one is given at a time; it has up to two
    batches, so that it never waits for the next."""

    cluster: str | None = None
    workers: int = 2
    batch: int = 32


def run_ingest_on_ray(
    address: str,
    sources: Iterable[PhotoSource],
    *,
    options: RayOptions,
    security: ChannelSecurity | None = None,
    total: int | None = None,
    selector: str = "",
    timeout_s: float = 600.0,
    on_result: Callable[[PhotoSource, IngestResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Stores photos as `run_ingest` does, by workers of a Ray cluster, and tells how it ended.

    Every machine of the cluster must see the photos at their paths and reach the routers at
    `address`; `security` travels to the workers inside the cluster, token included. Photos are
    dealt out as workers come free, and a worker sends as fast as the routers take: no more than 16
    photos a stream are under way. A worker that dies is started again and its batch repeated: what
    was stored of it is known by its digest, so every photo is stored once. Results and progress
    come batch by batch. Raises FailedPrecondition RAY_MISSING, RAY_UNREACHABLE.
    """
    counter = ProgressCounter(total, time.monotonic())
    stopped_by: PatchsearchError | None = None
    interrupted = False
    with _Cluster(options) as cluster:
        workers = cluster.workers(address, security, selector, timeout_s)
        try:
            for batch, outcome in workers.outcomes(_batches(sources, options.batch)):
                for position, result in outcome.results():
                    counter.add(result)
                    if on_result is not None:
                        told = replace(result, position=batch.start + position)
                        on_result(batch.sources[position], told)
                if on_progress is not None:
                    on_progress(counter.at(time.monotonic()))
                stopped_by = outcome.stopped_by()
                if stopped_by is not None:
                    break
        except PatchsearchError as error:
            stopped_by = error
        except KeyboardInterrupt:
            interrupted = True
    return Summary(counter.at(time.monotonic()), stopped_by, interrupted)


@dataclass(frozen=True, slots=True)
class _Batch:
    start: int
    sources: list[PhotoSource]


def _batches(sources: Iterable[PhotoSource], size: int) -> Iterator[_Batch]:
    source = iter(sources)
    start = 0
    while taken := list(islice(source, size)):
        yield _Batch(start, taken)
        start += len(taken)


class _Cluster:
    """A connection to Ray, ended on exit together with the cluster where it was started here."""

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        self._ray = _ray()

    def __enter__(self) -> _Cluster:
        options = self._options
        if options.cluster is not None:
            _refuse_unreachable(options.cluster)
        # A cluster that runs has processors of its own; one of this machine has as many as workers.
        own = {"num_cpus": options.workers} if options.cluster is None else {}
        try:
            self._ray.init(
                # "local": a cluster that happens to run on this machine is left alone.
                address=options.cluster or "local",
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                **own,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(options.cluster or "this machine", error) from error
        return self

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()

    def workers(
        self, address: str, security: ChannelSecurity | None, selector: str, timeout_s: float
    ) -> _Workers:
        # Ray repeats a call whose worker died; a batch may be repeated at any time.
        actor = self._ray.remote(
            num_cpus=1, max_concurrency=_SLOTS, max_restarts=-1, max_task_retries=3
        )(IngestWorker)
        started = [
            actor.remote(address, security, selector, timeout_s)
            for _ in range(self._options.workers)
        ]
        return _Workers(self._ray, started)


class _Workers:
    def __init__(self, ray: Any, actors: Sequence[Any]) -> None:
        self._ray = ray
        self._free = [actor for actor in actors for _ in range(_SLOTS)]

    def outcomes(self, batches: Iterator[_Batch]) -> Iterator[tuple[_Batch, BatchOutcome]]:
        """Each batch with its outcome, as they end."""
        running: dict[Any, tuple[Any, _Batch]] = {}
        more = True
        while more or running:
            while more and self._free:
                batch = next(batches, None)
                if batch is None:
                    more = False
                    break
                actor = self._free.pop(0)
                running[actor.ingest.remote(batch.sources)] = (actor, batch)
            # In turns, so that Ctrl-C is heard.
            ended, _ = self._ray.wait(list(running), timeout=_TURN_S) if running else ([], [])
            for call in ended:
                actor, batch = running.pop(call)
                self._free.append(actor)
                yield batch, self._outcome(call, batch)

    def _outcome(self, call: Any, batch: _Batch) -> BatchOutcome:
        try:
            outcome: BatchOutcome = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            died = Unavailable(
                "WORKER_DIED",
                f"its worker ended too often ({type(error).__name__}); ingest again to resume",
            )
            return BatchOutcome.of(
                (number, IngestResult(source.image_id, IngestOutcome.FAILED, 0, number, died))
                for number, source in enumerate(batch.sources)
            )
        return outcome


def _refuse_unreachable(cluster: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = cluster.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto": Ray finds its own
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise _unreachable(cluster, error) from error


def _unreachable(where: str, error: Exception) -> FailedPrecondition:
    return FailedPrecondition(
        "RAY_UNREACHABLE",
        f"no Ray cluster at {where} ({error}); `ray start --head` tells the address of one",
    )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise FailedPrecondition(
            "RAY_MISSING", "Ray is not installed; pip install 'patchsearch[ray]'"
        ) from error
    return ray
