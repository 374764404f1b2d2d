"""Giving the access token, once a browser."""

from __future__ import annotations

import asyncio

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import Unauthenticated
from ui.access import ACCESS_COOKIE, AccessToken, set_cookie
from ui.pages.rendering import go_to, render

_PAUSE_S = 0.5
"""Slows down guessing; the token is long enough without it."""


async def access_page(request: Request) -> Response:
    """`/access`: asks for the token."""
    return await render(
        request, "access.html", {"problem": None, "next": request.query_params.get("next", "/")}
    )


async def give_access(request: Request, form: FormData) -> Response:
    """`POST /access`: sets the cookie where the token is right."""
    access: AccessToken = request.app.state.access
    if not access.is_right(str(form.get("token", ""))):
        await asyncio.sleep(_PAUSE_S)
        problem = Unauthenticated("TOKEN_WRONG", "this is not the token; ask who runs the page")
        context = {"problem": problem, "next": str(form.get("next", "/"))}
        return await render(request, "access.html", context, 401)
    response = go_to(request, str(form.get("next", "/")))
    set_cookie(request, response, ACCESS_COOKIE, access.cookie)
    return response
