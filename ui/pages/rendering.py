"""Templates filled with what every page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from patchsearch.errors import NotFound
from ui.access import csrf_token, set_csrf_cookie
from ui.desk import desk_of
from ui.set_records import SetSummary

SET_COOKIE = "patchsearch_set"

_FOLDER = Path(__file__).parent.parent


def make_templates() -> Jinja2Templates:
    """The templates; everything that is put into them is escaped, unknown names are errors."""
    env = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["share"] = lambda value: "\N{EN DASH}" if value is None else f"{100 * value:.0f} %"
    env.filters["count"] = lambda value: f"{value:,}".replace(",", "\N{NO-BREAK SPACE}")
    env.filters["score"] = lambda value: "" if value is None else f"{value:.3f}"
    return Jinja2Templates(env=env)


async def current_set(request: Request) -> SetSummary | None:
    """The set that judgements go to in this browser; None where there is none."""
    number = request.cookies.get(SET_COOKIE, "")
    if not number.isdecimal() or len(number) > 15:
        return None
    desk = desk_of(request)
    try:
        return await desk.in_thread(desk.sets.get, int(number))
    except NotFound:
        return None


async def render(
    request: Request, template: str, context: dict[str, Any], status: int = 200
) -> Response:
    """A page, with its token against forged requests and the set that is open."""
    desk = desk_of(request)
    shared: dict[str, Any] = {
        "csrf": csrf_token(request),
        "open_set": context.get("open_set", await current_set(request)),
        "allow_ingest": desk.settings.allow_ingest,
        "path": request.url.path,
    }
    response = desk.templates.TemplateResponse(request, template, {**shared, **context}, status)
    set_csrf_cookie(request, response)
    return response


def is_htmx(request: Request) -> bool:
    """Whether htmx asks, which takes parts of pages."""
    return request.headers.get("hx-request") == "true"


def go_to(request: Request, url: str) -> Response:
    """Sends the browser to another page of this site."""
    return RedirectResponse(local(url), status_code=303)


def local(url: str) -> str:
    """The address if it is one of this site's, else the start page."""
    # "//host" and "/\host" lead elsewhere.
    inside = url.startswith("/") and not url.startswith(("//", "/\\")) and url.isprintable()
    return url if inside else "/"
