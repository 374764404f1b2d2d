"""Uploading a picture makes it a term of the search."""

from __future__ import annotations

from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument
from ui.desk import desk_of
from ui.pages.rendering import go_to
from ui.query_url import DeskTerm, read_query


async def upload(request: Request, form: FormData) -> Response:
    """`POST /uploads`: stores `picture` and goes to the search `query` with it."""
    desk = desk_of(request)
    picture = form.get("picture")
    if not isinstance(picture, UploadFile):
        raise InvalidArgument("UPLOAD_EMPTY", "no picture was chosen; choose a file")
    content = await picture.read(desk.uploads.max_bytes + 1)
    digest = await desk.in_thread(desk.uploads.add, content)
    query = read_query(QueryParams(str(form.get("query", ""))))
    return go_to(request, query.plus(DeskTerm("crop", digest)).url)
