"""What people see when something goes wrong: the error's own words, and a status that fits."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InternalError, PatchsearchError
from ui.pages.rendering import render

_LOG = logging.getLogger(__name__)
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "UNIMPLEMENTED": 501,
}
_TOO_LARGE = {"UPLOAD_TOO_LARGE", "IMAGE_TOO_LARGE"}


def status_of(error: PatchsearchError) -> int:
    """The HTTP status of an error."""
    return 413 if error.reason in _TOO_LARGE else _STATUS.get(error.code, 500)


async def show_error(request: Request, error: Exception) -> Response:
    """A page for a typed error."""
    if not isinstance(error, PatchsearchError):
        raise error
    return await render(request, "error.html", {"problem": error}, status_of(error))


async def show_http_error(request: Request, error: Exception) -> Response:
    """A page for an address that does not exist, a method that does not fit, a body too large."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {
        404: ("PAGE_NOT_FOUND", "there is no such page"),
        405: ("METHOD_NOT_ALLOWED", "this page cannot be asked in this way"),
        413: ("UPLOAD_TOO_LARGE", "what was sent is too large; the limit is --upload-mb"),
    }
    reason, message = words.get(status, ("REQUEST_INVALID", "this request cannot be read"))
    problem = PatchsearchError(reason, message)
    return await render(request, "error.html", {"problem": problem}, status)


async def show_defect(request: Request, error: Exception) -> Response:
    """A page for a defect; the log has the trace."""
    _LOG.error("defect while serving %s", request.url.path, exc_info=error)
    problem = InternalError("INTERNAL", "something went wrong here; the log has the details")
    return await render(request, "error.html", {"problem": problem}, 500)
