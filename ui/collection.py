"""The collection as the pages see it: everything through the client library."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from patchsearch.client_aio import AsyncClient
from patchsearch.collection_state import Collection
from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import SetItem
from patchsearch.feedback import unjudged
from patchsearch.query import Crop, PatchRef, Region, Term, Text
from patchsearch.results import Hit, ImageDetail, SearchResult, StoredImage
from ui.query_url import MAX_K, DeskQuery, DeskTerm, as_client_order

PictureOf = Callable[[DeskTerm], Awaitable[bytes]]
"""The pixels that a crop, region or photo term stands for: all of them, or a region's picture."""

_REMEMBERED_IMAGES = 4096
_REMEMBER_S = 60.0


class ImageFacts:
    """What is known of an image without asking again: where its pixels are, its size, metadata."""

    __slots__ = ("height", "image_id", "metadata", "uri", "width")

    def __init__(self, source: Hit | StoredImage) -> None:
        self.image_id = source.image_id
        self.uri = source.uri
        self.metadata = source.metadata
        if isinstance(source, Hit):
            self.width, self.height = source.image_width, source.image_height
        else:
            self.width, self.height = source.width, source.height


class CollectionDoor:
    """Searches, gets and describes; for one event loop."""

    def __init__(self, client: AsyncClient, picture_of: PictureOf) -> None:
        self._client = client
        self._picture_of = picture_of
        self._images: OrderedDict[str, tuple[float, ImageFacts]] = OrderedDict()

    async def search(self, query: DeskQuery, k: int) -> SearchResult:
        """Raises what `Client.search` raises, and QUERY_EMPTY for a query without terms."""
        if not query.terms:
            raise InvalidArgument("QUERY_EMPTY", "nothing is looked for; add a text or a picture")
        terms = await asyncio.gather(*(self._term(t) for t in as_client_order(query.terms)))
        options = query.options
        options["k"] = min(k, MAX_K)
        result = await self._client.search(*terms, **options)
        for hit in result:
            self._remember(ImageFacts(hit))
        return result

    async def search_unjudged(
        self, query: DeskQuery, k: int, judged: Sequence[SetItem]
    ) -> tuple[list[Hit], SearchResult]:
        """The `k` best hits whose place nobody judged, and the whole answer they come from."""
        result = await self.search(query, k + len(judged))
        return unjudged(result.hits, judged)[:k], result

    async def image(self, image_id: str) -> ImageFacts:
        """Raises NotFound IMAGE_NOT_FOUND; what was seen within a minute is not asked again."""
        known = self._images.get(image_id)
        if known is not None and time.monotonic() - known[0] < _REMEMBER_S:
            return known[1]
        return self._remember(ImageFacts((await self._client.get(image_id)).image))

    async def detail(self, image_id: str) -> ImageDetail:
        """Raises NotFound IMAGE_NOT_FOUND."""
        detail = await self._client.get(image_id)
        self._remember(ImageFacts(detail.image))
        return detail

    async def images(self, prefix: str, most: int) -> list[StoredImage]:
        """The first images whose ids begin with `prefix`, at most 1000."""
        found: list[StoredImage] = []
        async for image in self._client.list(prefix=prefix, page_size=most):
            self._remember(ImageFacts(image))
            found.append(image)
            if len(found) == most:
                break
        return found

    async def describe(self) -> Collection:
        """See `Client.describe`."""
        return await self._client.describe()

    async def _term(self, term: DeskTerm) -> Term:
        if term.kind == "text":
            return Text(term.source, term.weight)
        if term.box is None:
            return Crop(await self._picture_of(term), term.weight)
        if term.kind == "patch":
            return PatchRef(term.source, term.box, term.weight)
        if term.kind == "region":
            return Region(await self._picture_of(term), term.box, term.weight)
        return Crop(await self._picture_of(term), term.weight)

    def _remember(self, image: ImageFacts) -> ImageFacts:
        self._images[image.image_id] = (time.monotonic(), image)
        self._images.move_to_end(image.image_id)
        if len(self._images) > _REMEMBERED_IMAGES:
            self._images.popitem(last=False)
        return image
