"""Answers without what leads to pixels: for deployments in which a search must not show more."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from patchsearch.errors import PermissionDenied
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceServicer
from router.servicer import RouterServicer


class RedactedServicer(SearchServiceServicer):
    """A servicer whose answers name places and scores only. Thread-safe, as the one behind it is.

    Services keep no pixels: what leads to them is `uri`, and what tells of them is `metadata`,
    `digest` (who has a photo can see that it is stored) and vectors (a picture can be approximated
    from one). Hits and images come without those, whoever asks; vectors are refused. An explained
    selection comes without its saliency maps, which are pictures of the photo. Ids, boxes, scores
    and sizes stay: they are the answer.
    """

    def __init__(self, servicer: RouterServicer) -> None:
        self._servicer = servicer

    def Search(self, request: pb.SearchRequest, context: grpc.ServicerContext) -> pb.SearchResponse:
        response = self._servicer.Search(request, context)
        _redact_hits(response)
        return response

    def BatchSearch(
        self, request: pb.BatchSearchRequest, context: grpc.ServicerContext
    ) -> pb.BatchSearchResponse:
        response = self._servicer.BatchSearch(request, context)
        for result in response.results:
            if result.HasField("response"):
                _redact_hits(result.response)
        return response

    def IngestImages(
        self, request_iterator: Iterator[pb.IngestImagesRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IngestImagesResponse]:
        yield from self._servicer.IngestImages(request_iterator, context)

    def DeleteImages(
        self, request: pb.DeleteImagesRequest, context: grpc.ServicerContext
    ) -> pb.DeleteImagesResponse:
        return self._servicer.DeleteImages(request, context)

    def GetImage(
        self, request: pb.GetImageRequest, context: grpc.ServicerContext
    ) -> pb.GetImageResponse:
        if request.include_vectors:
            raise PermissionDenied(
                "REDACTED",
                "this deployment gives no vectors away (--redact); ask without include_vectors",
            )
        response = self._servicer.GetImage(request, context)
        _redact(response.image)
        return response

    def ListImages(
        self, request: pb.ListImagesRequest, context: grpc.ServicerContext
    ) -> pb.ListImagesResponse:
        response = self._servicer.ListImages(request, context)
        for image in response.images:
            _redact(image)
        return response

    def DescribeCollection(
        self, request: pb.DescribeCollectionRequest, context: grpc.ServicerContext
    ) -> pb.DescribeCollectionResponse:
        return self._servicer.DescribeCollection(request, context)

    def ExplainSelection(
        self, request: pb.ExplainSelectionRequest, context: grpc.ServicerContext
    ) -> pb.ExplainSelectionResponse:
        response = self._servicer.ExplainSelection(request, context)
        for region in response.explanation.regions:
            region.ClearField("saliency_png")
        response.explanation.warnings.append(
            "this deployment gives no pictures away (--redact): the saliency maps are left out"
        )
        return response


def _redact_hits(response: pb.SearchResponse) -> None:
    for hit in response.hits:
        hit.ClearField("uri")
        hit.ClearField("metadata")


def _redact(image: pb.Image) -> None:
    for name in ("uri", "metadata", "digest"):
        image.ClearField(name)
