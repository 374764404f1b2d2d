"""SearchService: messages in and out; the work is in the modules it is given."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.v1 import search_service_pb2
from patchsearch.v1.search_service_pb2_grpc import SearchServiceServicer
from patchsearch.wire.status import status_proto
from placement.watch import PlacementWatch
from router.answers import (
    collection_response,
    get_image_response,
    image_message,
    search_response,
)
from router.call_scope import CallScope
from router.catalogue import MAX_PAGE_SIZE, Catalogue
from router.collection import CollectionDoor
from router.consistency import Consistency, consistency_from_proto
from router.explanations import SelectionExplainer
from router.image_id import check_image_id
from router.ingest_call import IngestCall
from router.page_token import decode_page_token, encode_page_token
from router.pressure import SearchPressure
from router.query import SearchQuery
from router.query_reading import read_query
from router.replica_states import ReplicaStates
from router.search import Searcher
from router.writes import ReplicatedWriter

MAX_BATCH = 256
MAX_IDS = 1000
DEFAULT_PAGE_SIZE = 100


class RouterServicer(SearchServiceServicer):
    """The public door. Thread-safe."""

    def __init__(
        self,
        door: CollectionDoor,
        placements: PlacementWatch,
        searcher: Searcher,
        catalogue: Catalogue,
        ingest: IngestCall,
        explainer: SelectionExplainer,
        writer: ReplicatedWriter,
        states: ReplicaStates,
        pressure: SearchPressure,
        *,
        consistency: Consistency,
        default_k: int,
        reserve_s: float,
        version: str,
    ) -> None:
        self._door = door
        self._placements = placements
        self._searcher = searcher
        self._catalogue = catalogue
        self._ingest = ingest
        self._explainer = explainer
        self._writer = writer
        self._states = states
        self._pressure = pressure
        self._consistency = consistency
        self._default_k = default_k
        self._reserve_s = reserve_s
        self._version = version

    def Search(
        self, request: search_service_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.SearchResponse:
        collection = self._door.enter()
        placement = self._placements.current
        query = read_query(request, self._default_k)
        with self._pressure.searching():
            answer = self._searcher.search(query, collection, placement, CallScope.of(context))
        return search_response(answer, collection)

    def BatchSearch(
        self, request: search_service_pb2.BatchSearchRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.BatchSearchResponse:
        collection = self._door.enter()
        placement = self._placements.current
        _check_count(len(request.requests), MAX_BATCH, "requests")
        with self._pressure.searching():
            outcomes = self._searcher.search_many(
                [self._read_or_error(r) for r in request.requests],
                collection,
                placement,
                CallScope.of(context),
            )
        response = search_service_pb2.BatchSearchResponse()
        for outcome in outcomes:
            if isinstance(outcome, PatchsearchError):
                response.results.add(error=status_proto(outcome))
            else:
                response.results.add(response=search_response(outcome, collection))
        return response

    def IngestImages(
        self,
        request_iterator: Iterator[search_service_pb2.IngestImagesRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[search_service_pb2.IngestImagesResponse]:
        yield from self._ingest.serve(request_iterator, self._door.enter(), context)

    def DeleteImages(
        self, request: search_service_pb2.DeleteImagesRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.DeleteImagesResponse:
        self._door.enter()
        _check_count(len(request.image_ids), MAX_IDS, "image ids")
        for image_id in request.image_ids:
            check_image_id(image_id)
        deleted = self._writer.delete(
            request.image_ids,
            consistency_from_proto(request.consistency, self._consistency),
            self._placements.current,
            CallScope.of(context),
        )
        return search_service_pb2.DeleteImagesResponse(deleted_image_ids=deleted)

    def GetImage(
        self, request: search_service_pb2.GetImageRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.GetImageResponse:
        self._door.enter()
        check_image_id(request.image_id)
        stored = self._catalogue.get(
            request.image_id,
            request.include_vectors,
            self._placements.current,
            CallScope.of(context),
        )
        return get_image_response(stored)

    def ListImages(
        self, request: search_service_pb2.ListImagesRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.ListImagesResponse:
        self._door.enter()
        # Zero is unset: the field is not optional.
        page_size = request.page_size or DEFAULT_PAGE_SIZE
        if page_size > MAX_PAGE_SIZE:
            raise InvalidArgument(
                "PAGE_SIZE_OUT_OF_RANGE",
                f"page_size is {page_size}; ask for 1 to {MAX_PAGE_SIZE} images",
            )
        after = decode_page_token(request.page_token, request.prefix)
        page = self._catalogue.list_page(
            after, request.prefix, page_size, self._placements.current, CallScope.of(context)
        )
        token = ""
        if page.more and page.images:
            token = encode_page_token(page.images[-1].image.image_id, request.prefix)
        return search_service_pb2.ListImagesResponse(
            images=[image_message(listed.image, listed.patch_count) for listed in page.images],
            next_page_token=token,
        )

    def DescribeCollection(
        self,
        request: search_service_pb2.DescribeCollectionRequest,
        context: grpc.ServicerContext,
    ) -> search_service_pb2.DescribeCollectionResponse:
        collection = self._door.enter()
        placement = self._placements.current
        described = self._catalogue.describe(placement, CallScope.of(context), self._reserve_s)
        return collection_response(collection, placement, described, self._states, self._version)

    def ExplainSelection(
        self, request: search_service_pb2.ExplainSelectionRequest, context: grpc.ServicerContext
    ) -> search_service_pb2.ExplainSelectionResponse:
        self._door.enter()
        explanation = self._explainer.explain(request, CallScope.of(context))
        return search_service_pb2.ExplainSelectionResponse(explanation=explanation)

    def _read_or_error(
        self, request: search_service_pb2.SearchRequest
    ) -> SearchQuery | PatchsearchError:
        try:
            return read_query(request, self._default_k)
        except PatchsearchError as error:
            return error


def _check_count(count: int, limit: int, what: str) -> None:
    if not 1 <= count <= limit:
        raise InvalidArgument("BATCH_OUT_OF_RANGE", f"{count} {what} were sent; send 1 to {limit}")
