"""What runs in a worker of the Ray cluster: one connection, and batches of photos through it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from google.rpc import status_pb2

from ingest.run import run_ingest
from ingest.sources import PhotoSource
from patchsearch.client import Client
from patchsearch.errors import PatchsearchError, ResourceExhausted
from patchsearch.results import IngestOutcome, IngestResult
from patchsearch.wire.security import ChannelSecurity
from patchsearch.wire.status import error_from_status, status_proto

_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class _PhotoOutcome:
    position: int
    image_id: str
    outcome: str
    patches: int
    warnings: tuple[str, ...]
    error: bytes | None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch, in a form that travels: errors are serialized google.rpc.Status."""

    photos: tuple[_PhotoOutcome, ...]
    stopped: bytes | None = None

    @classmethod
    def of(
        cls, results: Iterable[tuple[int, IngestResult]], stopped_by: PatchsearchError | None = None
    ) -> Self:
        """From positions in the batch and results."""
        return cls(
            tuple(
                _PhotoOutcome(
                    position,
                    result.image_id,
                    result.outcome.name,
                    result.patches,
                    result.warnings,
                    _packed(result.error),
                )
                for position, result in results
            ),
            _packed(stopped_by),
        )

    def results(self) -> Iterator[tuple[int, IngestResult]]:
        """Positions in the batch and results, as they came."""
        for photo in self.photos:
            yield (
                photo.position,
                IngestResult(
                    photo.image_id,
                    IngestOutcome[photo.outcome],
                    photo.patches,
                    photo.position,
                    _unpacked(photo.error),
                    photo.warnings,
                ),
            )

    def stopped_by(self) -> PatchsearchError | None:
        """What ended the batch before its end."""
        return _unpacked(self.stopped)


class IngestWorker:
    """Sends batches through a connection of its own. Thread-safe."""

    def __init__(
        self, address: str, security: ChannelSecurity | None, selector: str, timeout_s: float
    ) -> None:
        self._client = Client(address, security=security)
        self._selector = selector
        self._timeout_s = timeout_s

    def ingest(self, batch: Sequence[PhotoSource]) -> BatchOutcome:
        """Stores the batch. Waits, for `timeout_s` at most, while the routers take no more
        streams; raises nothing."""
        results: dict[int, IngestResult] = {}
        until = time.monotonic() + self._timeout_s
        while True:
            left = [number for number in range(len(batch)) if number not in results]
            summary = run_ingest(
                self._client,
                [batch[number] for number in left],
                selector=self._selector,
                timeout_s=self._timeout_s,
                on_result=lambda _, result, left=left: results.update(  # type: ignore[misc]
                    {left[result.position]: result}
                ),
            )
            error = summary.stopped_by
            if not isinstance(error, ResourceExhausted) or error.reason != "OVERLOADED":
                return BatchOutcome.of(results.items(), error)
            pause_s = error.retry_after_s or _PAUSE_S
            if time.monotonic() + pause_s > until:
                return BatchOutcome.of(results.items(), error)
            time.sleep(pause_s)


def _packed(error: PatchsearchError | None) -> bytes | None:
    return None if error is None else status_proto(error).SerializeToString()


def _unpacked(status: bytes | None) -> PatchsearchError | None:
    return None if status is None else error_from_status(status_pb2.Status.FromString(status))
