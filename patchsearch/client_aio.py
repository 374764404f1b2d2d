"""The asyncio client of a collection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc
import grpc.aio

from patchsearch.collection_state import Collection
from patchsearch.errors import PatchsearchError
from patchsearch.explanation import SelectionExplanation
from patchsearch.ingest_stream_aio import ingest_photos
from patchsearch.photo_frames import PhotoFrame, rows_as_photos
from patchsearch.photos import PhotoLike
from patchsearch.pixels import Pixels
from patchsearch.query import Query, SearchOptions, TermLike
from patchsearch.results import ImageDetail, IngestResult, SearchResult, StoredImage
from patchsearch.v1 import search_service_pb2 as pb
from patchsearch.v1.search_service_pb2_grpc import SearchServiceStub
from patchsearch.wire import explanations, requests, results
from patchsearch.wire.addresses import channel_target
from patchsearch.wire.channel import DEFAULT_ADDRESS, channel_options, error_of_call
from patchsearch.wire.in_flight import InFlightLimit
from patchsearch.wire.ingest_flow import IngestFlow
from patchsearch.wire.security import ChannelSecurity, client_security

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncClient:
    """The operations of `Client`, with the same arguments, results and errors, as coroutines.

    Make it inside a running event loop and use it in that loop only; close it, or use `async with`.
    Files are read in threads, so that the loop goes on.
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
        credentials = chosen.credentials()
        target = channel_target(address)
        options = [*options, *target.options]
        self._channel = (
            grpc.aio.insecure_channel(target.name, options)
            if credentials is None
            else grpc.aio.secure_channel(target.name, credentials, options)
        )
        self._stub = SearchServiceStub(self._channel)
        self._in_flight = InFlightLimit()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        await self._channel.close(None)

    async def search(
        self,
        *terms: TermLike,
        timeout_s: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchResult:
        """See `Client.search`."""
        request = await asyncio.to_thread(requests.search_request, Query(terms, **options))
        with self._in_flight.held():
            response = await self._call(self._stub.Search, request, timeout_s)
        return results.search_result(response)

    async def batch_search(
        self, queries: Iterable[Query | TermLike], *, timeout_s: float | None = None
    ) -> list[SearchResult | PatchsearchError]:
        """See `Client.batch_search`."""
        batches = requests.batch_requests(queries)
        outcomes: list[SearchResult | PatchsearchError] = []
        while (request := await asyncio.to_thread(next, batches, None)) is not None:
            with self._in_flight.held():
                response = await self._call(self._stub.BatchSearch, request, timeout_s)
            outcomes += results.batch_results(response)
        return outcomes

    def ingest(
        self,
        photos: Iterable[PhotoLike] | AsyncIterable[PhotoLike] | PhotoFrame,
        *,
        selector: str = "",
        timeout_s: float = 600.0,
    ) -> AsyncGenerator[IngestResult, None]:
        """See `Client.ingest`; iterate with `async for`. A plain iterable runs in a thread."""
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

    async def delete(
        self, image_ids: str | Iterable[str], *, timeout_s: float | None = None
    ) -> list[str]:
        """See `Client.delete`."""
        deleted: list[str] = []
        for request in requests.delete_requests(image_ids):
            response = await self._call(self._stub.DeleteImages, request, timeout_s)
            deleted += response.deleted_image_ids
        return deleted

    async def get(
        self, image_id: str, *, include_vectors: bool = False, timeout_s: float | None = None
    ) -> ImageDetail:
        """See `Client.get`."""
        request = requests.get_request(image_id, include_vectors=include_vectors)
        return results.image_detail(await self._call(self._stub.GetImage, request, timeout_s))

    async def list(
        self, *, prefix: str = "", page_size: int = 1000, timeout_s: float | None = None
    ) -> AsyncIterator[StoredImage]:
        """See `Client.list`; iterate with `async for`."""
        page_token = ""
        while True:
            request = requests.list_request(prefix, page_size, page_token)
            page = await self._call(self._stub.ListImages, request, timeout_s)
            for image in page.images:
                yield results.stored_image(image)
            page_token = page.next_page_token
            if not page_token:
                return

    async def describe(self, *, timeout_s: float | None = None) -> Collection:
        """See `Client.describe`."""
        request = pb.DescribeCollectionRequest()
        response = await self._call(self._stub.DescribeCollection, request, timeout_s)
        return results.collection(response)

    async def explain_selection(
        self,
        photo: Pixels,
        *,
        selector: str = "",
        max_windows: int = 2000,
        timeout_s: float | None = None,
    ) -> SelectionExplanation:
        """See `Client.explain_selection`."""
        request = await asyncio.to_thread(
            explanations.explain_request, photo, selector, max_windows
        )
        response = await self._call(self._stub.ExplainSelection, request, timeout_s)
        return explanations.selection_explanation(response)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_s: float | None,
    ) -> _Response:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            return await method(request, timeout=limit_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_of_call(error, self.address, limit_s) from error
