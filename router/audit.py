"""What the audit log is told of a call: kinds and counts, never what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import grpc

from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceServicer
from router.redaction import RedactedServicer
from router.servicer import RouterServicer
from service_runtime.audit import note


class AuditedServicer(SearchServiceServicer):
    """A servicer whose calls note facts for the audit log. Thread-safe, as the one behind it is.

    A search notes its terms by kind (crop, text, patch, vector), how many push away, whether there
    is a filter, k, and how many hits it found. Texts stay out: who looks for whom stands in them.
    """

    def __init__(self, servicer: RouterServicer | RedactedServicer) -> None:
        self._servicer = servicer

    def Search(self, request: pb.SearchRequest, context: grpc.ServicerContext) -> pb.SearchResponse:
        _note_queries([request])
        response = self._servicer.Search(request, context)
        note(hits=len(response.hits), degraded=response.coverage.degraded)
        return response

    def BatchSearch(
        self, request: pb.BatchSearchRequest, context: grpc.ServicerContext
    ) -> pb.BatchSearchResponse:
        _note_queries(request.requests)
        note(queries=len(request.requests))
        response = self._servicer.BatchSearch(request, context)
        note(
            hits=sum(len(result.response.hits) for result in response.results),
            failed=sum(1 for result in response.results if result.HasField("error")),
        )
        return response

    def IngestImages(
        self, request_iterator: Iterator[pb.IngestImagesRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IngestImagesResponse]:
        outcomes: Counter[str] = Counter()
        for response in self._servicer.IngestImages(request_iterator, context):
            outcomes[_outcome(response)] += 1
            note(images=dict(outcomes))
            yield response

    def DeleteImages(
        self, request: pb.DeleteImagesRequest, context: grpc.ServicerContext
    ) -> pb.DeleteImagesResponse:
        note(images=len(request.image_ids))
        response = self._servicer.DeleteImages(request, context)
        note(deleted=len(response.deleted_image_ids))
        return response

    def GetImage(
        self, request: pb.GetImageRequest, context: grpc.ServicerContext
    ) -> pb.GetImageResponse:
        note(vectors=request.include_vectors)
        return self._servicer.GetImage(request, context)

    def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.ServicerContext
    ) -> pb.ListImagesResponse:
        note(prefix=bool(request.prefix))
        response = self._servicer.ListImages(request, context)
        note(images=len(response.images))
        return response

    def DescribeCollection(
        self, request: pb.DescribeCollectionRequest, context: grpc.ServicerContext
    ) -> pb.DescribeCollectionResponse:
        return self._servicer.DescribeCollection(request, context)

    def ExplainSelection(
        self, request: pb.ExplainSelectionRequest, context: grpc.ServicerContext
    ) -> pb.ExplainSelectionResponse:
        response = self._servicer.ExplainSelection(request, context)
        note(windows=len(response.explanation.windows))
        return response


def _note_queries(requests: Sequence[pb.SearchRequest]) -> None:
    kinds: Counter[str] = Counter()
    negative = filters = exact = 0
    for request in requests:
        filters += request.HasField("filter")
        exact += request.exact
        for term in request.terms:
            kinds[term.WhichOneof("content") or "empty"] += 1
            negative += term.weight < 0
    # The most that any of them asks for; what asks for nothing gets the router's default.
    if asked := [request.k for request in requests if request.HasField("k")]:
        note(k=max(asked))
    note(terms=dict(kinds), negative=negative, filtered=bool(filters), exact=bool(exact))


def _outcome(response: pb.IngestImagesResponse) -> str:
    name: str = pb.IngestOutcome.Name(response.outcome)
    return name.removeprefix("INGEST_OUTCOME_").lower()
