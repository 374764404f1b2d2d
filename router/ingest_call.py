"""The IngestImages call: messages in, messages out, work in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import grpc

from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.errors import InternalError, PatchsearchError
from patchsearch.v1 import search_service_pb2
from patchsearch.wire.status import status_proto
from placement.document import Placement
from router.call_scope import CallScope
from router.clock import HybridLogicalClock
from router.collection import Collection
from router.consistency import Consistency, consistency_from_proto
from router.ingest_image import ImageToStore, ImageWriter, StoreOutcome, StoreResult
from router.ingest_stream import BoundedStream
from router.pressure import SearchPressure
from router.startup import fetch_collection
from service_runtime.logs import logger

_OUTCOMES = {
    StoreOutcome.STORED: search_service_pb2.INGEST_OUTCOME_STORED,
    StoreOutcome.UNCHANGED: search_service_pb2.INGEST_OUTCOME_UNCHANGED,
    StoreOutcome.CONTENT_NEEDED: search_service_pb2.INGEST_OUTCOME_CONTENT_NEEDED,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Numbered:
    index: int
    request: search_service_pb2.IngestImagesRequest
    version: int
    """Made when it was read: of two images with one id, the later one wins."""


class IngestCall:
    """Serves ingest streams. Thread-safe."""

    def __init__(
        self,
        writer: ImageWriter,
        encoder: EncoderServiceStub,
        clock: HybridLogicalClock,
        placement: Callable[[], Placement],
        threads: Executor,
        *,
        consistency: Consistency,
        in_flight: int,
        pressure: SearchPressure,
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._clock = clock
        self._placement = placement
        self._threads = threads
        self._consistency = consistency
        self._in_flight = in_flight
        self._pressure = pressure
        self._log = logger("ingest")

    def serve(
        self,
        requests: Iterable[search_service_pb2.IngestImagesRequest],
        known: Collection,
        context: grpc.ServicerContext,
    ) -> Iterator[search_service_pb2.IngestImagesResponse]:
        """A response per request as images finish; raises ResourceExhausted OVERLOADED when too
        many streams are open or searches need the workers, FailedPrecondition ENCODER_MISMATCH
        after a change of encoder."""
        with self._pressure.streaming():
            scope = CallScope.of(context)
            collection = self._collection_now(known, scope)
            stream: BoundedStream[_Numbered, search_service_pb2.IngestImagesResponse]
            stream = BoundedStream(
                lambda numbered: self._store(numbered, collection, scope),
                lambda numbered: numbered.request.image_id,
                self._threads,
                self._in_flight,
            )
            context.add_callback(stream.stop)
            yield from stream.run(self._numbered(requests))

    def _collection_now(self, known: Collection, scope: CallScope) -> Collection:
        try:
            collection = fetch_collection(self._encoder, scope)
        except PatchsearchError:
            # Images that are stored already need no encoder; others will tell what is wrong.
            return known
        known.check_fingerprint(collection.fingerprint, "what the encoder now makes")
        return collection

    def _numbered(
        self, requests: Iterable[search_service_pb2.IngestImagesRequest]
    ) -> Iterator[_Numbered]:
        for index, request in enumerate(requests):
            yield _Numbered(index, request, self._clock.now())

    def _store(
        self, numbered: _Numbered, collection: Collection, scope: CallScope
    ) -> search_service_pb2.IngestImagesResponse:
        request = numbered.request
        self._pressure.hold_image(scope)
        try:
            image = ImageToStore(
                image_id=request.image_id,
                content=request.content,
                digest=request.digest if request.HasField("digest") else None,
                uri=request.uri,
                metadata=request.metadata if request.HasField("metadata") else None,
                selector=request.selector,
                version=numbered.version,
                consistency=consistency_from_proto(request.consistency, self._consistency),
            )
            result = self._writer.store(image, collection, self._placement, scope)
        except PatchsearchError as error:
            return _failed(numbered, error)
        except Exception as defect:
            self._log.error("image failed on a defect", image_id=request.image_id, exc_info=defect)
            return _failed(
                numbered,
                InternalError(
                    "INTERNAL",
                    f"the router failed on this image ({type(defect).__name__}); "
                    "its log has the trace under the image's id",
                ),
            )
        return _stored(numbered, result)


def _stored(numbered: _Numbered, result: StoreResult) -> search_service_pb2.IngestImagesResponse:
    return search_service_pb2.IngestImagesResponse(
        image_id=numbered.request.image_id,
        outcome=_OUTCOMES[result.outcome],
        patches=result.patches,
        warnings=result.warnings,
        index=numbered.index,
    )


def _failed(
    numbered: _Numbered, error: PatchsearchError
) -> search_service_pb2.IngestImagesResponse:
    return search_service_pb2.IngestImagesResponse(
        image_id=numbered.request.image_id,
        outcome=search_service_pb2.INGEST_OUTCOME_FAILED,
        error=status_proto(error),
        index=numbered.index,
    )
