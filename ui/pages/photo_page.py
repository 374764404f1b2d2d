"""A photo with what was found in it; a box dragged on it becomes a term."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.filter_text import format_filter
from patchsearch.filters import ImageIdPrefix
from patchsearch.geometry import Box
from patchsearch.query import as_filter
from patchsearch.results import StoredImage
from ui.desk import Desk, desk_of
from ui.pages.cards import Card, cards_of, photo_url
from ui.pages.rendering import current_set, go_to, render
from ui.query_url import DeskQuery, DeskTerm, read_place, read_query

_HITS = 32
_FRAMES = 3
_LISTED = 48


@dataclass(frozen=True, slots=True)
class Outline:
    """A box drawn over the photo. `kind` is main, hit, suppressed or patch."""

    box: Box
    kind: str
    title: str


async def photo_page(request: Request) -> Response:
    """`/photo?id=image&at=x,y,w,h&<search>`: the photo, what was found in it."""
    desk = desk_of(request)
    image_id = request.query_params.get("id", "")
    query = read_query(request.query_params)
    detail = await desk.collection.detail(image_id)
    at = request.query_params.get("at", "")
    main = read_place(f"{at}@{image_id}")[1] if at else None
    open_set = await current_set(request)
    judged = [] if open_set is None else await desk.in_thread(desk.sets.items, open_set.id)
    cards: list[Card] = []
    outlines = [
        Outline(patch.box, "patch", f"patch of level {patch.level}") for patch in detail.patches
    ]
    problem: PatchsearchError | None = None
    if query.terms:
        try:
            hits, _ = await desk.collection.search_unjudged(_within(query, image_id), _HITS, ())
            hits = [hit for hit in hits if hit.image_id == image_id]
            cards = cards_of(hits, judged, query)
            for hit in hits:
                outlines += [
                    Outline(s.box, "suppressed", f"left out for a better one: {s.score:.3f}")
                    for s in hit.suppressed
                    if main in (None, hit.box)
                ]
            outlines += [
                Outline(hit.box, "hit", f"score {hit.score:.3f}") for hit in hits if hit.box != main
            ]
        except PatchsearchError as error:
            problem = error
    if main is not None:
        outlines.append(Outline(main, "main", "this patch"))
    context: dict[str, Any] = {
        "title": image_id,
        "image_id": image_id,
        "image": detail.image,
        "width": detail.image.width,
        "height": detail.image.height,
        "picture": "/pictures/photo?" + urlencode({"id": image_id, "side": 1600}),
        "why": "/photo/selection?" + urlencode({"id": image_id}),
        "outlines": outlines,
        "patches": detail.patches,
        "cards": cards,
        "main": main,
        "query": query,
        "open_set": open_set,
        "problem": problem,
        "region_kind": "photo",
        "region_source": image_id,
        "frames": await _frames(desk, detail.image, query),
        "metadata": list(detail.image.metadata.items()),
    }
    return await render(request, "photo.html", context)


async def upload_page(request: Request) -> Response:
    """`/upload?digest=...`: an uploaded picture, to search a part of it."""
    desk = desk_of(request)
    digest = request.query_params.get("digest", "")
    content = await desk.in_thread(desk.uploads.read, digest)
    width, height = await desk.in_thread(desk.pictures.size, content)
    context: dict[str, Any] = {
        "title": "uploaded picture",
        "image_id": "",
        "image": None,
        "width": width,
        "height": height,
        "picture": "/pictures/upload?" + urlencode({"digest": digest, "side": 1600}),
        "outlines": [],
        "patches": (),
        "cards": [],
        "main": None,
        "query": read_query(request.query_params),
        "problem": None,
        "region_kind": "region",
        "region_source": digest,
        "frames": [],
        "metadata": [],
    }
    return await render(request, "photo.html", context)


async def search_region(request: Request) -> Response:
    """`/region`: from a box in a picture to the search for it, new or added to a search."""
    params = request.query_params
    kind, source = params.get("kind", ""), params.get("source", "")
    if kind not in ("photo", "region") or not source:
        raise InvalidArgument("TERM_INVALID", "a region needs a picture")
    numbers = [params.get(name, "") for name in ("x", "y", "width", "height")]
    _, box = read_place(f"{','.join(numbers)}@{source}")
    if box.w <= 0 or box.h <= 0:
        raise InvalidArgument("PLACE_INVALID", "the box is empty; drag one on the photo")
    query = read_query(params) if params.get("how", "new") != "new" else DeskQuery()
    weight = -0.5 if params.get("how") == "not" else 1.0
    term = DeskTerm("photo" if kind == "photo" else "region", source, box, weight)
    # A part of an upload takes the place of the whole, which would only blur it.
    kept = [t for t in query.terms if not (kind == "region" and t.source == source)]
    return go_to(request, replace(query, terms=tuple(kept)).plus(term).url)


async def photos_page(request: Request) -> Response:
    """`/photos?prefix=...`: the collection's photos in the order of their ids."""
    desk = desk_of(request)
    prefix = request.query_params.get("prefix", "")
    images = await desk.collection.images(prefix, _LISTED)
    context: dict[str, Any] = {
        "prefix": prefix,
        "images": images,
        "is_cut": len(images) == _LISTED,
    }
    return await render(request, "photos.html", context)


def _within(query: DeskQuery, image_id: str) -> DeskQuery:
    """The same search in one image alone, as far as a prefix of ids can say that."""
    own = ImageIdPrefix(image_id)
    whole = own if not query.filter else as_filter(query.filter) & own
    return replace(query, filter=format_filter(whole), threshold=None)


async def _frames(
    desk: Desk, image: StoredImage, query: DeskQuery
) -> list[tuple[StoredImage, str, bool]]:
    """The photos before and after this one by id, among those of its folder or drive."""
    folder = image.image_id.rpartition("/")[0]
    try:
        images = await desk.collection.images(f"{folder}/" if folder else "", 1000)
    except PatchsearchError:
        return []
    places = [i for i, other in enumerate(images) if other.image_id == image.image_id]
    if not places:
        return []
    start = max(places[0] - _FRAMES, 0)
    return [
        (
            other,
            photo_url(other.image_id, None, query.query_string),
            other.image_id == image.image_id,
        )
        for other in images[start : places[0] + _FRAMES + 1]
    ]
