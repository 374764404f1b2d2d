"""A set taken away as a file: at once, or written while a page shows how far it is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO, cast
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from patchsearch.errors import NotFound
from patchsearch.exports.formats import ExportFormat, ExportRequest, format_named
from ui.desk import Desk, desk_of
from ui.export_runs import pieces
from ui.pages.rendering import go_to, render
from ui.pages.sets_page import number


async def export_set(request: Request) -> Response:
    """`/sets/{id}/export/{format}?verdicts=yes&label=ambulance`: the set as a file.

    It is written to a temporary file first, so that an error is an error page and not half a file.
    """
    desk, params = desk_of(request), request.query_params
    chosen = format_named(request.path_params["format"])
    set_id = number(str(request.path_params["set_id"]))
    with_photos = chosen.needs_photos or params.get("photos") == "1"
    asked = await _asked(
        desk, set_id, params.getlist("verdicts"), params.get("label", ""), with_photos
    )
    file = cast(BinaryIO, tempfile.TemporaryFile())
    try:
        await desk.in_thread(chosen.write, asked, file)
        file.flush()
        size = file.tell()
    except BaseException:
        file.close()
        raise
    return _download(file, size, chosen, asked.name)


async def start_export(request: Request, form: FormData) -> Response:
    """`POST /exports`: starts one (`set`, `format`, `verdicts`, `label`) or ends it (`cancel`)."""
    desk = desk_of(request)
    cancel = str(form.get("cancel", ""))
    if cancel:
        run_id = number(cancel)
        desk.exports.cancel(run_id)
        return go_to(request, f"/exports/{run_id}")
    chosen = format_named(str(form.get("format", "")))
    set_id = number(str(form.get("set", "")))
    verdicts = [str(verdict) for verdict in form.getlist("verdicts")]
    asked = await _asked(desk, set_id, verdicts, str(form.get("label", "")), chosen.can_hold_photos)
    run = desk.exports.start(set_id, chosen, asked)
    return go_to(request, f"/exports/{run.id}")


async def run_page(request: Request) -> Response:
    """`/exports/{id}`: how far an export is, what it could not take along, its file."""
    desk = desk_of(request)
    run = desk.exports.get(number(str(request.path_params["run_id"])))
    return await render(request, "export_run.html", {"run": run})


async def run_file(request: Request) -> Response:
    """`/exports/{id}/file`: what a finished export wrote."""
    desk = desk_of(request)
    run = desk.exports.get(number(str(request.path_params["run_id"])))
    return _download(desk.exports.open(run.id), run.size, run.format, run.set_name)


async def _asked(
    desk: Desk, set_id: int, verdicts: Sequence[str], label: str, with_photos: bool
) -> ExportRequest:
    """Raises NotFound SET_NOT_FOUND or SET_EMPTY."""
    summary = await desk.in_thread(desk.sets.get, set_id)
    wanted = verdicts or ["yes"]
    items = [
        replace(item, label=label.strip() or summary.name, uri=item.uri or item.image_id)
        for item in await desk.in_thread(desk.sets.items, summary.id)
        if item.verdict.value in wanted
    ]
    if not items:
        raise NotFound("SET_EMPTY", "nothing in this set has these verdicts; judge some hits first")
    read_photo = (lambda uri: desk.photos.read(uri, "")) if desk.settings.photos else None
    return ExportRequest(items, summary.name, read_photo if with_photos else None)


def _download(file: BinaryIO, size: int, chosen: ExportFormat, name: str) -> Response:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)
    file_name = f"{plain or 'set'}-{chosen.name}{chosen.suffix}"
    full = quote(f"{name}-{chosen.name}{chosen.suffix}", safe="")
    return StreamingResponse(
        iterate_in_threadpool(pieces(file, size)),
        media_type=chosen.media_type,
        headers={
            "content-length": str(size),
            "content-disposition": f"attachment; filename=\"{file_name}\"; filename*=UTF-8''{full}",
        },
        background=BackgroundTask(file.close),
    )
