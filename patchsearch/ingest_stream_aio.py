"""Drives an ingest over an asyncio connection; `wire.ingest_flow` decides, this moves messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from patchsearch.errors import InternalError, PatchsearchError
from patchsearch.photos import PhotoLike
from patchsearch.results import IngestResult
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.wire.ingest_flow import IngestFlow, Step, TakenPhoto

if TYPE_CHECKING:
    IngestMethod = Callable[
        ..., grpc.aio.StreamStreamCall[pb.IngestImagesRequest, pb.IngestImagesResponse]
    ]

_NO_MORE: Final = object()
_FINISH_S = 2.0


async def ingest_photos(
    method: IngestMethod,
    photos: Iterable[PhotoLike] | AsyncIterable[PhotoLike],
    flow: IngestFlow,
    timeout_s: float,
    typed: Callable[[grpc.RpcError], PatchsearchError],
) -> AsyncGenerator[IngestResult, None]:
    """Yields results as they come; files and plain iterables are read in a thread."""
    source = _advance(photos)
    more = True
    while more or flow.in_flight:
        failure: PatchsearchError | None = None
        stream = _Stream(method, flow, timeout_s, typed)
        try:
            step = Step.TAKE
            while failure is None and step is not Step.CLOSE:
                step = flow.step(more)
                if step is Step.TAKE:
                    photo = await source()
                    if photo is _NO_MORE:
                        more = False
                        continue
                    taken = await asyncio.to_thread(flow.take, photo)
                    failed = taken if isinstance(taken, IngestResult) else stream.begin(taken)
                    if failed is not None:
                        yield failed
                async for arrived in stream.received(wait=step is Step.WAIT):
                    if isinstance(arrived, IngestResult):
                        yield arrived
                    else:
                        failure = arrived
            if failure is None:
                await stream.finish()
        finally:
            await stream.close()
        if failure is not None:
            await asyncio.sleep(flow.broken(failure))


def _advance(photos: Iterable[PhotoLike] | AsyncIterable[PhotoLike]) -> Callable[[], Any]:
    """A coroutine function that gives the next photo, or _NO_MORE."""
    if isinstance(photos, AsyncIterable):
        later = aiter(photos)
        return lambda: anext(later, _NO_MORE)
    now = iter(photos)
    return lambda: asyncio.to_thread(next, now, _NO_MORE)


class _Stream:
    """One IngestImages call, whose answers a task of its own reads and follows up."""

    def __init__(
        self,
        method: IngestMethod,
        flow: IngestFlow,
        timeout_s: float,
        typed: Callable[[grpc.RpcError], PatchsearchError],
    ) -> None:
        self._flow = flow
        self._typed = typed
        self._outbox: asyncio.Queue[pb.IngestImagesRequest | None] = asyncio.Queue()
        self._inbox: asyncio.Queue[IngestResult | PatchsearchError] = asyncio.Queue()
        for message in flow.restart():
            self._outbox.put_nowait(message)
        self._call = method(self._messages(), timeout=timeout_s)
        self._reader = asyncio.create_task(self._read(), name="ingest-answers")

    def begin(self, photo: TakenPhoto) -> IngestResult | None:
        """Sends a photo; gives its result when it cannot be sent."""
        outcome = self._flow.begin(photo)
        if isinstance(outcome, IngestResult):
            return outcome
        self._outbox.put_nowait(outcome)
        return None

    async def received(self, *, wait: bool) -> AsyncIterator[IngestResult | PatchsearchError]:
        """What has arrived, at least one if `wait`; an error comes last."""
        while wait or not self._inbox.empty():
            yield await self._inbox.get()
            wait = False

    async def finish(self) -> None:
        """Lets the server end the call by itself, for a moment."""
        self._outbox.put_nowait(None)
        await asyncio.wait((self._reader,), timeout=_FINISH_S)

    async def close(self) -> None:
        """Ends the call whatever its state; nothing of it runs on afterwards."""
        self._call.cancel()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _messages(self) -> AsyncIterator[pb.IngestImagesRequest]:
        while (message := await self._outbox.get()) is not None:
            yield message

    async def _read(self) -> None:
        try:
            async for response in self._call:
                outcome = self._flow.answer(response)
                if isinstance(outcome, IngestResult):
                    self._inbox.put_nowait(outcome)
                else:
                    self._outbox.put_nowait(outcome)
            self._inbox.put_nowait(self._flow.ended())
        except grpc.aio.AioRpcError as error:
            # What grpc.aio says of a write that met the end of the call, instead of its status.
            is_broken = (error.details() or "").startswith("Internal error from Core")
            self._inbox.put_nowait(self._flow.ended() if is_broken else self._typed(error))
        except PatchsearchError as error:
            self._inbox.put_nowait(error)
        except Exception as error:
            # Whoever waits for the inbox must hear of it, or would wait for ever.
            self._inbox.put_nowait(
                InternalError("ANSWER_UNREADABLE", f"answer not understood: {error!r}")
            )
