"""What people do with hits: yes, no, skip, undo, more like this, search again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument
from patchsearch.exports.items import SetItem, Verdict
from patchsearch.feedback import precision, reweighted
from patchsearch.geometry import Box
from ui.access import set_cookie
from ui.desk import Desk, desk_of
from ui.pages.cards import dom_id
from ui.pages.rendering import SET_COOKIE, current_set, go_to, is_htmx, local, render
from ui.query_url import DeskQuery, DeskTerm, read_place, read_query

_PUSH = -0.5


async def act_on_hits(request: Request, form: FormData) -> Response:
    """`POST /hits`: the button that was pressed says what happens.

    Fields: `one` = verdict|score|place of one hit; `all` = verdict for every `hit` that is ticked
    (score|place); `rest` = verdict for every `shown` hit that nobody judged; `undo`; `again`; `add`
    = more|place or not|place; `query` the search, `back` where to return without scripts.
    """
    desk = desk_of(request)
    query = _query(form)
    if added := _text(form, "add"):
        how, _, place = added.partition("|")
        image_id, box = read_place(place)
        term = DeskTerm("patch", image_id, box, 1.0 if how == "more" else _PUSH)
        return _go(request, query.plus(term).url)
    if "again" in form:
        return await _search_again(request, query)
    if "undo" in form:
        return await _undo(request, form)
    open_set = await current_set(request)
    verdict, found = _judgements(form)
    items = await asyncio.gather(*(_item(desk, one, verdict) for one in found))
    if "rest" in form and open_set is not None:
        known = {(i.image_id, i.box) for i in await desk.in_thread(desk.sets.items, open_set.id)}
        items = [item for item in items if (item.image_id, item.box) not in known]
    set_id = (
        open_set.id
        if open_set is not None
        else await desk.in_thread(desk.sets.create, _name_of(query))
    )
    await desk.in_thread(desk.sets.judge, set_id, items, found_by=query.query_string)
    return await _judged(request, form, set_id, items, is_new=open_set is None)


async def _search_again(request: Request, query: DeskQuery) -> Response:
    """The search with what the open set accepted and rejected."""
    desk = desk_of(request)
    open_set = await current_set(request)
    if open_set is None or not open_set.judged:
        raise InvalidArgument("NOTHING_JUDGED", "nothing is judged yet; say yes or no to some hits")
    judged = await desk.in_thread(desk.sets.items, open_set.id)
    terms = reweighted(query.terms, judged, _patch_term)
    return _go(request, replace(query, terms=tuple(terms)).url)


def _patch_term(item: SetItem, weight: float) -> DeskTerm:
    return DeskTerm("patch", item.image_id, item.box, weight)


async def _undo(request: Request, form: FormData) -> Response:
    desk = desk_of(request)
    open_set = await current_set(request)
    if open_set is None:
        return _go(request, _text(form, "back"))
    places = await desk.in_thread(desk.sets.undo, open_set.id)
    return await _judged(request, form, open_set.id, places, is_new=False)


async def _judged(
    request: Request, form: FormData, set_id: int, items: Sequence[SetItem], *, is_new: bool
) -> Response:
    """The changed parts of the page for htmx; the whole page again without it."""
    desk = desk_of(request)
    if not is_htmx(request):
        response = go_to(request, _text(form, "back"))
    else:
        summary = await desk.in_thread(desk.sets.get, set_id)
        judged = await desk.in_thread(desk.sets.items, set_id)
        changed = [(dom_id(i.image_id, i.box), i.verdict.value) for i in items]
        response = await render(
            request,
            "judged.html",
            {
                "open_set": summary,
                "changed": changed,
                "precision": precision(judged),
                "query": _query(form),
            },
        )
    if is_new:
        set_cookie(request, response, SET_COOKIE, str(set_id))
    return response


def _judgements(form: FormData) -> tuple[Verdict, list[str]]:
    if one := _text(form, "one"):
        verdict, _, found = one.partition("|")
        return _verdict(verdict), [found]
    if rest := _text(form, "rest"):
        return _verdict(rest), [str(value) for value in form.getlist("shown")]
    found_all = [str(value) for value in form.getlist("hit")]
    verdict = _text(form, "all")
    if not found_all:
        raise InvalidArgument("NOTHING_CHOSEN", "no hit is ticked; tick some first")
    return _verdict(verdict), found_all


async def _item(desk: Desk, found: str, verdict: Verdict) -> SetItem:
    score, _, place = found.partition("|")
    image_id, box = read_place(place)
    facts = await desk.collection.image(image_id)
    if not box.inside(facts.width, facts.height):
        raise InvalidArgument("BOX_OUTSIDE_IMAGE", "this box is not in its image; search again")
    return SetItem(
        image_id=image_id,
        uri=facts.uri,
        width=facts.width,
        height=facts.height,
        box=Box(box.x, box.y, box.w, box.h),
        score=_score(score),
        verdict=verdict,
        metadata=facts.metadata,
    )


def _name_of(query: DeskQuery) -> str:
    """A name for the set of a search: its first text."""
    texts = [term.source for term in query.terms if term.kind == "text" and term.weight > 0]
    plain = "".join(c if c.isprintable() else " " for c in texts[0])[:60] if texts else ""
    return plain.strip() or "crop"


def _verdict(text: str) -> Verdict:
    try:
        return Verdict("" if text == "none" else text)
    except ValueError as error:
        raise InvalidArgument("VERDICT_INVALID", "a verdict is yes, no, skip or none") from error


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if -1.001 <= score <= 1.001 else None


def _query(form: FormData) -> DeskQuery:
    return read_query(QueryParams(_text(form, "query")))


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _go(request: Request, url: str) -> Response:
    if not is_htmx(request):
        return go_to(request, url)
    # htmx follows a redirect of its own accord but keeps the old address.
    return Response(status_code=204, headers={"hx-location": _location(local(url))})


def _location(url: str) -> str:
    path = urlsplit(url)
    target = path.path + (f"?{path.query}" if path.query else "")
    return json.dumps(
        {"path": target, "target": "#main", "select": "#main", "swap": "outerHTML show:window:top"}
    )
