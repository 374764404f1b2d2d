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
    """`/status`: sizes, encoder, partitions with their replicas where they are told."""
    desk = desk_of(request)
    started = time.perf_counter()
    collection, problem = None, None
    try:
        collection = await desk.collection.describe()
    except PatchsearchError as error:
        problem = error
    rows = []
    for partition in () if collection is None else collection.partitions:
        # Routers before replication tell no replicas.
        replicas = getattr(partition, "replicas", ())
        rows.append((partition, replicas))
    answering = sum(partition.available for partition, _ in rows)
    context: dict[str, Any] = {
        "collection": collection,
        "problem": problem,
        "partitions": rows,
        "coverage": answering / len(rows) if rows else None,
        "answering": answering,
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
