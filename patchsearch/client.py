"""The blocking client of a collection."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from patchsearch.collection_state import Collection
from patchsearch.errors import PatchsearchError
from patchsearch.explanation import SelectionExplanation
from patchsearch.ingest_stream import ingest_photos
from patchsearch.photo_frames import PhotoFrame, rows_as_photos
from patchsearch.photos import PhotoLike
from patchsearch.pixels import Pixels
from patchsearch.query import Query, SearchOptions, TermLike
from patchsearch.results import ImageDetail, IngestResult, SearchResult, StoredImage
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire import explanations, requests, results
from patchsearch.wire.channel import DEFAULT_ADDRESS, channel_options, error_of_call
from patchsearch.wire.in_flight import InFlightLimit
from patchsearch.wire.ingest_flow import IngestFlow
from patchsearch.wire.security import ChannelSecurity, client_security, open_plain_or_tls

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Client:
    """Talks to the collection at `address`; connects at the first call.

    `address` may name several routers of the collection, `host:port,host:port`: calls go to those
    that answer, so that one of them can be stopped (`wire.addresses.channel_target`).

    Every call has a deadline, `timeout_s` unless the call is given its own. Unary calls are tried
    again while nobody answers. Every failure is raised as a `PatchsearchError`: besides what
    each call lists, Unavailable UNREACHABLE (nobody at the address), DeadlineExceeded and
    ResourceExhausted OVERLOADED can come from all of them. Thread-safe; close it, or use `with`.

    While servers refuse searches as OVERLOADED, the client lets fewer be under way at once, and
    refuses the others itself in the same way (`wire.in_flight`).

    `tls_ca`, a PEM file of who signed the server's certificate, makes the connection TLS; `token`
    is shown with every call. `security` says both, and more: public authorities, a certificate of
    one's own (`patchsearch.ChannelSecurity`). Raises InvalidArgument TOKEN_WITHOUT_TLS where the
    token would cross a network in the clear, FailedPrecondition TLS_FILE_UNREADABLE.

    `max_message_mb` limits one message both ways and should equal the server's.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout_s: float = 30.0,
        max_message_mb: int = 64,
        tls_ca: Path | str | None = None,
        token: str | None = None,
        security: ChannelSecurity | None = None,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._max_message_bytes = max_message_mb * 1024 * 1024
        options = channel_options(max_message_mb)
        chosen = client_security(address, tls_ca, token, security)
        self._metadata = tuple(chosen.metadata())
        self._channel = open_plain_or_tls(address, chosen, options)
        self._stub = SearchServiceStub(self._channel)
        self._in_flight = InFlightLimit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        self._channel.close()

    def search(
        self,
        *terms: TermLike,
        timeout_s: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchResult:
        """Finds the stored patches nearest to a query of weighted terms, best first.

        A plain `str` is a text, a `Path`, bytes, array or PIL image a crop, a `Hit` "more like
        this". Raises InvalidArgument for a query that cannot be used, NotFound PATCH_NOT_FOUND,
        FailedPrecondition ENCODER_MISMATCH, Unavailable COVERAGE_TOO_LOW.
        """
        request = requests.search_request(Query(terms, **options))
        with self._in_flight.held():
            response = self._call(self._stub.Search, request, timeout_s)
        return results.search_result(response)

    def batch_search(
        self, queries: Iterable[Query | TermLike], *, timeout_s: float | None = None
    ) -> list[SearchResult | PatchsearchError]:
        """Runs any number of searches, 256 a call; a failed one gives its error in its place.

        `timeout_s` holds for each call. Raises what concerns a whole call, and InvalidArgument
        for a query that cannot be sent.
        """
        outcomes: list[SearchResult | PatchsearchError] = []
        for request in requests.batch_requests(queries):
            with self._in_flight.held():
                response = self._call(self._stub.BatchSearch, request, timeout_s)
            outcomes += results.batch_results(response)
        return outcomes

    def ingest(
        self,
        photos: Iterable[PhotoLike] | PhotoFrame,
        *,
        selector: str = "",
        timeout_s: float = 600.0,
    ) -> Generator[IngestResult, None, None]:
        """Stores photos and yields one result for each, in the order in which they finish.

        `photos` is any iterable, a generator too, of paths, bytes, arrays, PIL images, `(id,
        picture)`, `(id, picture, metadata)` and `Photo`s; or a pandas frame (see `PhotoFrame`).
        Nothing is sent until it is iterated over. At most 16 photos (256 MiB) are under way. What
        is stored already with the same content, uri, metadata and selector is recognised by its
        digest and not sent. A photo that fails gives a result with its error, and the rest goes on;
        a photo is durable once its result is STORED. `selector` is for photos that name none. A
        broken connection is opened again and what was unanswered is sent again.

        Raises Unavailable when the server stays away, and DeadlineExceeded when `timeout_s` pass
        without any answer; ingest again to resume.
        """
        flow = IngestFlow(
            selector=selector, max_message_bytes=self._max_message_bytes, timeout_s=timeout_s
        )
        return ingest_photos(
            partial(self._stub.IngestImages, metadata=self._metadata),
            rows_as_photos(photos),
            flow,
            timeout_s,
            lambda error: error_of_call(error, self.address, timeout_s),
        )

    def delete(
        self, image_ids: str | Iterable[str], *, timeout_s: float | None = None
    ) -> list[str]:
        """Deletes images with all their patches and gives the ids that were stored until now.

        Deleting what is not there is not an error. 1000 ids a call; `timeout_s` holds for each.
        Raises InvalidArgument IMAGE_ID_INVALID.
        """
        return [
            image_id
            for request in requests.delete_requests(image_ids)
            for image_id in self._call(
                self._stub.DeleteImages, request, timeout_s
            ).deleted_image_ids
        ]

    def get(
        self, image_id: str, *, include_vectors: bool = False, timeout_s: float | None = None
    ) -> ImageDetail:
        """Tells what is stored of one image; raises NotFound IMAGE_NOT_FOUND."""
        request = requests.get_request(image_id, include_vectors=include_vectors)
        return results.image_detail(self._call(self._stub.GetImage, request, timeout_s))

    def list(
        self, *, prefix: str = "", page_size: int = 1000, timeout_s: float | None = None
    ) -> Iterator[StoredImage]:
        """Iterates over the images in the order of the bytes of their ids, page by page.

        Only ids that begin with `prefix`. `timeout_s` holds for each page.
        """
        page_token = ""
        while True:
            request = requests.list_request(prefix, page_size, page_token)
            page = self._call(self._stub.ListImages, request, timeout_s)
            for image in page.images:
                yield results.stored_image(image)
            page_token = page.next_page_token
            if not page_token:
                return

    def describe(self, *, timeout_s: float | None = None) -> Collection:
        """Tells the state of the collection; raises Unavailable NOT_READY while it starts."""
        request = pb.DescribeCollectionRequest()
        return results.collection(self._call(self._stub.DescribeCollection, request, timeout_s))

    def explain_selection(
        self,
        photo: Pixels,
        *,
        selector: str = "",
        max_windows: int = 2000,
        timeout_s: float | None = None,
    ) -> SelectionExplanation:
        """Tells which patches would be chosen in a photo and why not others; stores nothing.

        `photo` is a path, encoded bytes, an array or a PIL image; `selector` the collection's
        default where empty; `max_windows` 1 to 10 000. Not tried again by itself. Raises
        InvalidArgument for a photo or a selector that cannot be used, Unavailable
        ENCODER_UNAVAILABLE.
        """
        request = explanations.explain_request(photo, selector, max_windows)
        response = self._call(self._stub.ExplainSelection, request, timeout_s)
        return explanations.selection_explanation(response)

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_s: float | None,
    ) -> _Response:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            return method(request, timeout=limit_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_of_call(error, self.address, limit_s) from error
