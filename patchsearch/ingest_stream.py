"""Drives an ingest over a blocking connection; `wire.ingest_flow` decides, this moves messages."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Final

import grpc

from patchsearch.errors import InternalError, PatchsearchError
from patchsearch.photos import PhotoLike
from patchsearch.results import IngestResult
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.ingest_flow import IngestFlow, Step, TakenPhoto

if TYPE_CHECKING:
    IngestMethod = Callable[..., grpc.CallIterator[pb.IngestImagesResponse]]

_NO_MORE: Final = object()
_FINISH_S = 2.0


def ingest_photos(
    method: IngestMethod,
    photos: Iterable[PhotoLike],
    flow: IngestFlow,
    timeout_s: float,
    typed: Callable[[grpc.RpcError], PatchsearchError],
) -> Generator[IngestResult, None, None]:
    """Yields results as they come; `photos` is advanced in the thread that iterates over them."""
    source = iter(photos)
    more = True
    while more or flow.in_flight:
        failure: PatchsearchError | None = None
        stream = _Stream(method, flow, timeout_s, typed)
        try:
            step = Step.TAKE
            while failure is None and step is not Step.CLOSE:
                step = stream.step(more)
                if step is Step.TAKE:
                    photo = next(source, _NO_MORE)
                    if photo is _NO_MORE:
                        more = False
                        continue
                    taken = flow.take(photo)  # type: ignore[arg-type]
                    failed = taken if isinstance(taken, IngestResult) else stream.begin(taken)
                    if failed is not None:
                        yield failed
                for arrived in stream.received(wait=step is Step.WAIT):
                    if isinstance(arrived, IngestResult):
                        yield arrived
                    else:
                        failure = arrived
            if failure is None:
                stream.finish()
        finally:
            stream.close()
        if failure is not None:
            time.sleep(flow.broken(failure))


class _Stream:
    """One IngestImages call.

    A thread of its own reads the answers and sends the content that they ask for, so that a photo
    is stored even while the next one is long in coming.
    """

    def __init__(
        self,
        method: IngestMethod,
        flow: IngestFlow,
        timeout_s: float,
        typed: Callable[[grpc.RpcError], PatchsearchError],
    ) -> None:
        self._flow = flow
        self._typed = typed
        self._turn = threading.Lock()
        self._outbox: queue.SimpleQueue[pb.IngestImagesRequest | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[IngestResult | PatchsearchError] = queue.SimpleQueue()
        for message in flow.restart():
            self._outbox.put(message)
        self._call = method(iter(self._outbox.get, None), timeout=timeout_s)
        self._reader = threading.Thread(target=self._read, name="ingest-answers", daemon=True)
        self._reader.start()

    def step(self, more: bool) -> Step:
        with self._turn:
            return self._flow.step(more)

    def begin(self, photo: TakenPhoto) -> IngestResult | None:
        """Sends a photo; gives its result when it cannot be sent."""
        with self._turn:
            outcome = self._flow.begin(photo)
            if isinstance(outcome, IngestResult):
                return outcome
            self._outbox.put(outcome)
            return None

    def received(self, *, wait: bool) -> Iterator[IngestResult | PatchsearchError]:
        """What has arrived, at least one if `wait`; an error comes last."""
        while wait or not self._inbox.empty():
            yield self._inbox.get()
            wait = False

    def finish(self) -> None:
        """Lets the server end the call by itself, for a moment."""
        self._outbox.put(None)
        self._reader.join(_FINISH_S)

    def close(self) -> None:
        """Ends the call whatever its state; nothing of it runs on afterwards."""
        self._outbox.put(None)
        self._call.cancel()  # type: ignore[no-untyped-call]
        self._reader.join()

    def _read(self) -> None:
        try:
            for response in self._call:
                # In one turn, so that what is no longer in flight has its result in the inbox.
                with self._turn:
                    outcome = self._flow.answer(response)
                    if isinstance(outcome, IngestResult):
                        self._inbox.put(outcome)
                    else:
                        self._outbox.put(outcome)
            self._inbox.put(self._flow.ended())
        except grpc.RpcError as error:
            self._inbox.put(self._typed(error))
        except PatchsearchError as error:
            self._inbox.put(error)
        except Exception as error:
            # Whoever waits for the inbox must hear of it, or would wait for ever.
            self._inbox.put(InternalError("ANSWER_UNREADABLE", f"answer not understood: {error!r}"))
