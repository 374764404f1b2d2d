"""What every page works with, made once and handed around."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from starlette.requests import Request
from starlette.templating import Jinja2Templates

from ui.collection import CollectionDoor
from ui.explanations import Explanations
from ui.export_runs import ExportRuns
from ui.ingest_runs import IngestRuns
from ui.photo_reader import RootedPhotos
from ui.pictures import PictureMaker
from ui.sets import SetStore
from ui.settings import UiSettings
from ui.uploads import UploadStore

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts. `sets`, `uploads`, `photos` and `pictures` block: use them by `in_thread`."""

    settings: UiSettings
    collection: CollectionDoor
    explanations: Explanations
    sets: SetStore
    uploads: UploadStore
    photos: RootedPhotos
    pictures: PictureMaker
    ingests: IngestRuns
    exports: ExportRuns
    templates: Jinja2Templates
    pool: ThreadPoolExecutor
    """Bounds how many photos are in memory at a time."""

    async def in_thread(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Runs blocking work in the pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, lambda: work(*args, **kwargs))


def desk_of(request: Request) -> Desk:
    """The desk of the application that serves a request."""
    return cast(Desk, request.app.state.desk)
