"""Sets: list, look into, rename, delete, compare, merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument
from patchsearch.exports.formats import FORMATS
from patchsearch.exports.items import SetItem, Verdict
from ui.access import set_cookie
from ui.desk import Desk, desk_of
from ui.pages.cards import card_of_item
from ui.pages.rendering import SET_COOKIE, current_set, go_to, render
from ui.query_url import DeskQuery

_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class _Round:
    found_by: str
    yes: int
    judged: int
    precision: float
    url: str


async def sets_page(request: Request) -> Response:
    """`/sets`: all of them."""
    desk = desk_of(request)
    return await render(request, "sets.html", {"sets": await desk.in_thread(desk.sets.all)})


async def set_page(request: Request) -> Response:
    """`/sets/{id}?verdict=yes`: what is in one, and its exports."""
    desk = desk_of(request)
    set_id = number(str(request.path_params["set_id"]))
    summary = await desk.in_thread(desk.sets.get, set_id)
    items = await desk.in_thread(desk.sets.items, set_id)
    rounds = await desk.in_thread(desk.sets.rounds, set_id)
    verdict = request.query_params.get("verdict", "yes")
    chosen = [item for item in items if verdict in ("all", item.verdict.value)]
    context: dict[str, Any] = {
        "summary": summary,
        "verdict": verdict,
        "cards": [card_of_item(item, rank) for rank, item in enumerate(chosen[:_SHOWN], 1)],
        "hidden": max(len(chosen) - _SHOWN, 0),
        "rounds": [
            _Round(r.found_by, r.yes, r.yes + r.no, r.yes / (r.yes + r.no), f"/?{r.found_by}")
            for r in rounds
        ],
        "formats": [f for f in FORMATS.values() if not f.needs_photos or desk.settings.photos],
        "exports": desk.exports.of_set(set_id),
        "others": [s for s in await desk.in_thread(desk.sets.all) if s.id != set_id],
        "query": DeskQuery(),
    }
    return await render(request, "set.html", context)


async def compare_page(request: Request) -> Response:
    """`/sets/compare?a=1&b=2`: accepted patches of both, of one alone, and disagreements."""
    desk = desk_of(request)
    one, other = (number(request.query_params.get(name, "")) for name in ("a", "b"))
    first = await desk.in_thread(desk.sets.get, one)
    second = await desk.in_thread(desk.sets.get, other)
    a = await _by_place(desk, one)
    b = await _by_place(desk, other)
    yes_a = {place for place, item in a.items() if item.verdict is Verdict.YES}
    yes_b = {place for place, item in b.items() if item.verdict is Verdict.YES}
    no_a = {place for place, item in a.items() if item.verdict is Verdict.NO}
    no_b = {place for place, item in b.items() if item.verdict is Verdict.NO}
    disputed = (yes_a & no_b) | (yes_b & no_a)
    parts = [
        ("Accepted in both", [a[p] for p in a if p in yes_a & yes_b]),
        (f"Only in {first.name}", [a[p] for p in a if p in yes_a - yes_b - disputed]),
        (f"Only in {second.name}", [b[p] for p in b if p in yes_b - yes_a - disputed]),
        ("Accepted in one, rejected in the other", [a[p] for p in a if p in disputed]),
    ]
    context: dict[str, Any] = {
        "first": first,
        "second": second,
        "parts": [
            (title, [card_of_item(i, rank) for rank, i in enumerate(found, 1)])
            for title, found in parts
        ],
    }
    return await render(request, "compare.html", context)


async def change_sets(request: Request, form: FormData) -> Response:
    """`POST /sets`: `do` is create, open, close, rename, delete or merge."""
    desk = desk_of(request)
    action = str(form.get("do", ""))
    name = str(form.get("name", ""))
    if action == "create":
        set_id = await desk.in_thread(desk.sets.create, name)
        return _opened(request, go_to(request, f"/sets/{set_id}"), str(set_id))
    if action == "close":
        return _opened(request, go_to(request, str(form.get("back", "/"))), "")
    set_id = number(str(form.get("set", "")))
    if action == "open":
        await desk.in_thread(desk.sets.get, set_id)
        return _opened(request, go_to(request, str(form.get("back", "/"))), str(set_id))
    if action == "rename":
        await desk.in_thread(desk.sets.rename, set_id, name)
        return go_to(request, f"/sets/{set_id}")
    if action == "delete":
        await desk.in_thread(desk.sets.delete, set_id)
        response = go_to(request, "/sets")
        open_set = await current_set(request)
        return response if open_set is not None else _opened(request, response, "")
    if action == "merge":
        source = number(str(form.get("from", "")))
        await desk.in_thread(desk.sets.merge, source, set_id)
        return go_to(request, f"/sets/{set_id}")
    raise InvalidArgument("ACTION_UNKNOWN", "a set is opened, renamed, deleted or merged")


async def _by_place(desk: Desk, set_id: int) -> dict[object, SetItem]:
    items: Sequence[SetItem] = await desk.in_thread(desk.sets.items, set_id)
    return {(item.image_id, item.box): item for item in items}


def _opened(request: Request, response: Response, set_id: str) -> Response:
    set_cookie(request, response, SET_COOKIE, set_id)
    return response


def number(text: str) -> int:
    """The number that names a set or an export; raises InvalidArgument NUMBER_INVALID."""
    if not text.isdecimal() or len(text) > 15:
        raise InvalidArgument("NUMBER_INVALID", "sets and exports are named by their numbers")
    return int(text)
