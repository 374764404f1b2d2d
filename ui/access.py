"""Who may use the page: an optional access token, and a token against forged requests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from patchsearch.errors import FailedPrecondition, PermissionDenied

CSRF_COOKIE = "patchsearch_csrf"
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
ACCESS_COOKIE = "patchsearch_access"
_OPEN_TO_ALL = ("/access", "/static/", "/healthz")

Action: TypeAlias = Callable[[Request, FormData], Awaitable[Response]]
"""Something that changes state; it gets the form, so that it cannot go round the check."""


def csrf_token(request: Request) -> str:
    """The token of this browser: its cookie's, or a new one that the answer has to set."""
    known: str = getattr(request.state, "csrf", "") or request.cookies.get(CSRF_COOKIE, "")
    if len(known) < 32 or not known.isascii():
        known = secrets.token_urlsafe(32)
    request.state.csrf = known
    return known


def set_csrf_cookie(request: Request, response: Response) -> None:
    """Sets the cookie where the browser has none."""
    token = csrf_token(request)
    if request.cookies.get(CSRF_COOKIE) != token:
        set_cookie(request, response, CSRF_COOKIE, token)


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Sets a cookie that scripts and other sites cannot use; `value` "" takes it away."""
    response.set_cookie(
        name,
        value,
        max_age=365 * 86400 if value else 0,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def guarded(action: Action, *, max_part_size: int) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that runs `action` only for requests that this page's own forms made.

    The request must come from the same origin, as far as the browser tells, and carry the token of
    the cookie in its form or in X-CSRF-Token. Raises PermissionDenied CSRF_REFUSED.
    """

    async def endpoint(request: Request) -> Response:
        _check_origin(request)
        async with request.form(max_files=1, max_fields=5000, max_part_size=max_part_size) as form:
            sent = request.headers.get(CSRF_HEADER) or str(form.get(CSRF_FIELD, ""))
            cookie = request.cookies.get(CSRF_COOKIE, "")
            if not cookie or not _equal(sent, cookie):
                raise PermissionDenied(
                    "CSRF_REFUSED", "this form is not (or no longer) this page's; load it again"
                )
            return await action(request, form)

    return endpoint


class AccessToken:
    """The token that opens the page. The cookie holds a digest of it, never itself."""

    def __init__(self, file: Path | None) -> None:
        """Raises FailedPrecondition TOKEN_FILE_UNREADABLE for a file that is empty or not there."""
        self._token: str | None = None
        if file is None:
            return
        try:
            lines = file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeError) as error:
            raise FailedPrecondition(
                "TOKEN_FILE_UNREADABLE", f"cannot read the access token in {file}: {error}"
            ) from error
        if not lines or len(lines[0]) < 16:
            raise FailedPrecondition(
                "TOKEN_FILE_UNREADABLE", f"{file} holds no token of 16 characters or more"
            )
        self._token = lines[0]

    @property
    def is_needed(self) -> bool:
        """Whether people have to give it."""
        return self._token is not None

    def is_right(self, given: str) -> bool:
        """Whether this is the token."""
        return self._token is not None and _equal(given.strip(), self._token)

    @property
    def cookie(self) -> str:
        """What the cookie of somebody who gave it holds."""
        return hashlib.sha256(f"patchsearch-desk {self._token}".encode()).hexdigest()

    def admits(self, request: Request) -> bool:
        """Whether this request may see pages."""
        return not self.is_needed or _equal(request.cookies.get(ACCESS_COOKIE, ""), self.cookie)


class AccessGate:
    """Middleware that sends everybody without the token to the page that asks for it."""

    def __init__(self, app: ASGIApp, access: AccessToken) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            path = request.url.path
            if not path.startswith(_OPEN_TO_ALL) and not self._access.admits(request):
                back = f"{path}?{request.url.query}" if request.method == "GET" else "/"
                url = f"/access?next={quote(back, safe='')}"
                await RedirectResponse(url, status_code=303)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    same = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    if not same or site not in ("same-origin", "none"):
        raise PermissionDenied("CSRF_REFUSED", "this form was sent by another site")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
