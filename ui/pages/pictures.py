"""Pictures: patches, photos and uploads, always by their names, never by a path from outside."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.geometry import Box
from ui.desk import Desk, desk_of
from ui.error_pages import status_of
from ui.placeholder import placeholder
from ui.query_url import DeskTerm, read_place

_SIDES = (64, 160, 320, 640, 1600)
_CACHED = {"cache-control": "private, max-age=600"}


async def patch_picture(request: Request) -> Response:
    """`/pictures/patch?at=x,y,w,h@image&side=320`: a box of a stored image, as JPEG."""
    desk = desk_of(request)
    side = _side(request)
    try:
        image_id, box = read_place(request.query_params.get("at", ""))
        content = await photo_content(desk, image_id)
        made = await desk.in_thread(desk.pictures.patch, content, box, side)
    except PatchsearchError as error:
        return reason_picture(error)
    return Response(made, media_type="image/jpeg", headers=_CACHED)


async def photo_picture(request: Request) -> Response:
    """`/pictures/photo?id=image&side=1600`: a whole stored image, as JPEG."""
    desk = desk_of(request)
    side = _side(request)
    try:
        content = await photo_content(desk, request.query_params.get("id", ""))
        made = await desk.in_thread(desk.pictures.photo, content, side)
    except PatchsearchError as error:
        return reason_picture(error)
    return Response(made, media_type="image/jpeg", headers=_CACHED)


async def upload_picture(request: Request) -> Response:
    """`/pictures/upload?digest=...&at=x,y,w,h&side=64`: an uploaded picture, or a box of it."""
    desk = desk_of(request)
    side = _side(request)
    at = request.query_params.get("at", "")
    try:
        content = await desk.in_thread(desk.uploads.read, request.query_params.get("digest", ""))
        if at:
            _, box = read_place(f"{at}@upload")
            made = await desk.in_thread(desk.pictures.patch, content, box, side)
        else:
            made = await desk.in_thread(desk.pictures.photo, content, side)
    except PatchsearchError as error:
        return reason_picture(error)
    return Response(made, media_type="image/jpeg", headers=_CACHED)


async def photo_content(desk: Desk, image_id: str) -> bytes:
    """A stored image's content, by the uri that the collection has for it.

    Raises what `RootedPhotos.read` raises, and NotFound IMAGE_NOT_FOUND.
    """
    if not image_id:
        raise InvalidArgument("IMAGE_ID_INVALID", "no image was named")
    facts = await desk.collection.image(image_id)
    return await desk.in_thread(desk.photos.read, facts.uri, image_id)


async def picture_of_term(desk: Desk, term: DeskTerm) -> bytes:
    """The pixels that a term is searched by: an upload, or the box of a photo, as PNG."""
    if term.kind in ("crop", "region"):
        return await desk.in_thread(desk.uploads.read, term.source)
    content = await photo_content(desk, term.source)
    box = term.box or Box(0, 0, 0, 0)
    return await desk.in_thread(desk.pictures.crop, content, box)


def _side(request: Request) -> int:
    asked = request.query_params.get("side", "320")
    # A few sizes only, so that nobody fills the cache with thousands of them.
    return next((side for side in _SIDES if str(side) == asked), 320)


def reason_picture(error: PatchsearchError) -> Response:
    """A drawing that says why there is no picture; browsers show it whatever its status."""
    return Response(
        placeholder(error.message),
        status_of(error),
        media_type="image/svg+xml",
        headers={"cache-control": "no-store"},
    )
