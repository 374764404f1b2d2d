"""The state of the collection, as its router tells it."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from patchsearch.errors import PatchsearchError
from ui.desk import desk_of
from ui.error_pages import status_of
from ui.pages.rendering import render


async def status_page(request: Request) -> Response:
    """`/status`: sizes, coverage, measured recall, encoder, partitions with their replicas."""
    desk = desk_of(request)
    started = time.perf_counter()
    collection, problem = None, None
    try:
        collection = await desk.collection.describe()
    except PatchsearchError as error:
        problem = error
    partitions = () if collection is None else collection.partitions
    context: dict[str, Any] = {
        "collection": collection,
        "problem": problem,
        "answering": sum(partition.available for partition in partitions),
        "away": sum(r.state != "in use" for p in partitions for r in p.replicas),
        "milliseconds": (time.perf_counter() - started) * 1000,
        "router": desk.settings.router,
        "roots": desk.settings.photos,
        "runs": desk.ingests.all()[:5],
    }
    return await render(
        request, "status.html", context, 200 if problem is None else status_of(problem)
    )


async def healthz(request: Request) -> Response:
    """`/healthz`: whether this program answers; says nothing of the router."""
    return JSONResponse({"status": "ok"})
