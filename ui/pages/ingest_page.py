"""Putting photos in from the page: a folder or manifest below an allowed root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument, PermissionDenied
from ui.desk import Desk, desk_of
from ui.ingest_runs import MANIFEST_SUFFIXES
from ui.pages.rendering import go_to, render

_FOLDERS = 200


async def ingest_page(request: Request) -> Response:
    """`/ingest`: where photos may come from, and the last runs."""
    desk = _allowed(request)
    context: dict[str, Any] = {
        "roots": [str(root) for root in desk.photos.local_roots],
        "places": await desk.in_thread(_places, desk),
        "runs": desk.ingests.all(),
    }
    return await render(request, "ingest.html", context)


async def start_ingest(request: Request, form: FormData) -> Response:
    """`POST /ingest`: starts a run, or stops one (`stop`)."""
    desk = _allowed(request)
    stop = str(form.get("stop", ""))
    if stop:
        desk.ingests.stop(_run_id(stop))
        return go_to(request, f"/ingest/{stop}")
    given = str(form.get("place", "")).strip()
    if not given:
        raise InvalidArgument("PLACE_INVALID", "name a folder or a manifest")
    path = desk.photos.local_path(given)
    if not path.is_dir() and path.suffix.lower() not in MANIFEST_SUFFIXES:
        raise InvalidArgument(
            "PLACE_INVALID", "this is neither a folder nor a manifest (.csv, .jsonl, .ndjson)"
        )
    root = next(r for r in desk.photos.local_roots if path == r or r in path.parents)
    selector = str(form.get("selector", "")).strip()
    run = await desk.in_thread(desk.ingests.start, path, root, given, selector)
    return go_to(request, f"/ingest/{run.id}")


async def run_page(request: Request) -> Response:
    """`/ingest/{id}`: how far a run is, what was refused and why."""
    desk = _allowed(request)
    run = desk.ingests.get(_run_id(str(request.path_params["run_id"])))
    return await render(request, "ingest_run.html", {"run": run})


def _allowed(request: Request) -> Desk:
    desk = desk_of(request)
    if not desk.settings.allow_ingest:
        raise PermissionDenied("INGEST_OFF", "this page was started without ingest")
    return desk


def _run_id(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InvalidArgument("INGEST_INVALID", "an ingest is named by its number")
    return int(text)


def _places(desk: Desk) -> list[str]:
    """Folders and manifests right below the roots, to choose from."""
    found: list[str] = []
    for root in desk.photos.local_roots:
        found.append(str(root))
        found += sorted(str(path) for path in root.iterdir() if _is_place(path))[:_FOLDERS]
    return found


def _is_place(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in MANIFEST_SUFFIXES or path.is_dir()
