"""The page put together: everything opened once, routes, what every request goes through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from patchsearch.client import Client
from patchsearch.client_aio import AsyncClient
from patchsearch.errors import PatchsearchError
from patchsearch.wire.explanations import MAX_WINDOWS
from patchsearch.wire.security import ChannelSecurity
from ui.access import AccessGate, AccessToken, Action, guarded
from ui.collection import CollectionDoor
from ui.desk import Desk
from ui.error_pages import show_defect, show_error, show_http_error
from ui.explanations import Explanations
from ui.export_runs import ExportRuns
from ui.ingest_runs import IngestRuns
from ui.pages import (
    access_page,
    export_page,
    hit_actions,
    ingest_page,
    photo_page,
    pictures,
    search_page,
    selection_page,
    sets_page,
    status_page,
    upload_actions,
)
from ui.pages.rendering import make_templates
from ui.photo_reader import RootedPhotos
from ui.pictures import PictureMaker
from ui.query_url import DeskTerm
from ui.security import KnownHosts, SecurityHeaders
from ui.sets import SetStore
from ui.settings import UiSettings
from ui.uploads import open_uploads

_FOLDER = Path(__file__).parent
_PHOTO_THREADS = 4


def make_app(settings: UiSettings, security: ChannelSecurity | None = None) -> Starlette:
    """The application; it connects and opens its files when it is started.

    Raises InvalidArgument ROOT_MISSING and FailedPrecondition TOKEN_FILE_UNREADABLE at once.
    """
    photos = RootedPhotos(settings.photos, largest_mb=settings.photo_mb)
    access = AccessToken(settings.access_token_file)
    upload_bytes = settings.upload_mb * 1024 * 1024

    @asynccontextmanager
    async def opened(app: Starlette) -> AsyncIterator[None]:
        with ThreadPoolExecutor(_PHOTO_THREADS, thread_name_prefix="desk") as pool:
            desk = _open_desk(settings, security, photos, pool, app)
            try:
                yield
            finally:
                desk.ingests.close()
                desk.exports.close()
                await app.state.client.close()
                desk.sets.close()

    def post(path: str, action: Action) -> Route:
        endpoint = guarded(action, max_part_size=1024 * 1024)
        # The form around a picture is small.
        return Route(path, endpoint, methods=["POST"], max_body_size=upload_bytes + 64 * 1024)

    def get(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, endpoint, methods=["GET"])

    app = Starlette(
        routes=[
            get("/", search_page.search_page),
            get("/more", search_page.more_hits),
            get("/facets", search_page.facets_part),
            get("/range", search_page.search_range),
            get("/photo", photo_page.photo_page),
            get("/photo/selection", selection_page.selection_page),
            get("/photos", photo_page.photos_page),
            get("/upload", photo_page.upload_page),
            get("/region", photo_page.search_region),
            get("/pictures/patch", pictures.patch_picture),
            get("/pictures/photo", pictures.photo_picture),
            get("/pictures/saliency", selection_page.saliency_picture),
            get("/pictures/upload", pictures.upload_picture),
            get("/sets", sets_page.sets_page),
            get("/sets/compare", sets_page.compare_page),
            get("/sets/{set_id:int}", sets_page.set_page),
            get("/sets/{set_id:int}/export/{format}", export_page.export_set),
            get("/exports/{run_id:int}", export_page.run_page),
            get("/exports/{run_id:int}/file", export_page.run_file),
            get("/ingest", ingest_page.ingest_page),
            get("/ingest/{run_id:int}", ingest_page.run_page),
            get("/status", status_page.status_page),
            get("/access", access_page.access_page),
            get("/healthz", status_page.healthz),
            post("/hits", hit_actions.act_on_hits),
            post("/uploads", upload_actions.upload),
            post("/sets", sets_page.change_sets),
            post("/exports", export_page.start_export),
            post("/ingest", ingest_page.start_ingest),
            post("/access", access_page.give_access),
            Mount("/static", StaticFiles(directory=_FOLDER / "static")),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(KnownHosts, names=_host_names(settings)),
            Middleware(AccessGate, access=access),
        ],
        exception_handlers={
            PatchsearchError: show_error,
            HTTPException: show_http_error,
            Exception: show_defect,
        },
        lifespan=opened,
    )
    app.state.access = access
    return app


def _open_desk(
    settings: UiSettings,
    security: ChannelSecurity | None,
    photos: RootedPhotos,
    pool: ThreadPoolExecutor,
    app: Starlette,
) -> Desk:
    max_pixels = settings.photo_megapixels * 1_000_000
    client = AsyncClient(settings.router, timeout_s=settings.timeout_s, security=security)

    async def picture_of(term: DeskTerm) -> bytes:
        return await pictures.picture_of_term(desk, term)

    desk = Desk(
        settings=settings,
        collection=CollectionDoor(client, picture_of),
        explanations=Explanations(
            lambda content, selector: client.explain_selection(
                content, selector=selector, max_windows=MAX_WINDOWS
            )
        ),
        sets=SetStore(settings.data / "sets.sqlite"),
        uploads=open_uploads(
            settings.data / "uploads",
            max_bytes=settings.upload_mb * 1024 * 1024,
            max_total_bytes=settings.uploads_mb * 1024 * 1024,
            max_pixels=max_pixels,
        ),
        photos=photos,
        pictures=PictureMaker(max_pixels=max_pixels),
        ingests=IngestRuns(partial(Client, settings.router, security=security), photos.allows),
        exports=ExportRuns(),
        templates=make_templates(),
        pool=pool,
    )
    app.state.desk = desk
    app.state.client = client
    return desk


def _host_names(settings: UiSettings) -> frozenset[str]:
    names = {"localhost", "127.0.0.1", "::1", settings.host.lower()}
    return frozenset(names | {name.lower() for name in settings.allowed_hosts})
