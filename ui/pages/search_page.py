"""The search page: the query, its answer, more of it on scrolling."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.exports.items import SetItem, Verdict
from patchsearch.feedback import precision
from patchsearch.results import Coverage, Hit, SearchResult
from ui.desk import Desk, desk_of
from ui.error_pages import status_of
from ui.facets import facets_of
from ui.pages.cards import Card, cards_of, chips_of, dom_id, grouped, photo_url
from ui.pages.rendering import current_set, go_to, is_htmx, render
from ui.query_url import MAX_K, DeskQuery, place_text, read_place, read_query
from ui.ranges import narrowed, read_range
from ui.spread import HITS, spread_of

_SAMPLE = 12
_BATCH = 24
"""Hits sent at a time; more come on scrolling. Browsers stutter over larger pieces."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A run of hits after a cursor."""

    hits: list[Hit]
    best: list[Hit]
    """More of the best hits than are shown, on a first page."""
    result: SearchResult
    more_url: str
    milliseconds: float


async def search_page(request: Request) -> Response:
    """`/`: asks what the address says."""
    desk = desk_of(request)
    query = DeskQuery()
    problem: PatchsearchError | None = None
    try:
        query = read_query(request.query_params)
    except InvalidArgument as error:
        problem = error
    if problem is None and request.query_params.get("q"):
        return go_to(request, query.url)
    open_set = await current_set(request)
    judged = await _judged(desk, None if open_set is None else open_set.id)
    page: _Page | None = None
    if query.terms and problem is None:
        try:
            page = await _ask(desk, query, judged, after=None, shown=0)
        except PatchsearchError as error:
            problem = error
    context: dict[str, Any] = {
        "query": query,
        "chips": chips_of(query),
        "open_set": open_set,
        "problem": problem,
        "page": None,
        "samples": [],
        "precision": precision(judged),
    }
    if page is not None:
        context |= _answer(desk, query, page, judged)
    elif problem is None:
        try:
            context["samples"] = await desk.collection.images("", _SAMPLE)
        except PatchsearchError as error:
            context["problem"] = problem = error
    response = await render(
        request, "search.html", context, 200 if problem is None else status_of(problem)
    )
    if is_htmx(request) and problem is None:
        # A form sends its empty fields, too; what stands in the address bar is to be shared.
        response.headers["hx-push-url"] = query.url
    return response


async def more_hits(request: Request) -> Response:
    """`/more`: the cards that follow a cursor (`after`, `shown`)."""
    desk = desk_of(request)
    query = read_query(request.query_params)
    open_set = await current_set(request)
    judged = await _judged(desk, None if open_set is None else open_set.id)
    after, shown = _cursor(request)
    page = await _ask(desk, query, judged, after=after, shown=shown)
    cards = cards_of(page.hits, judged, query, first_rank=shown + 1)
    return await render(
        request, "more.html", {"cards": cards, "more_url": page.more_url, "open_set": open_set}
    )


async def facets_part(request: Request) -> Response:
    """`/facets`: conditions to choose from, made from the metadata of the first images."""
    desk = desk_of(request)
    query = read_query(request.query_params)
    images = await desk.collection.images("", MAX_K)
    context = {"fields": facets_of(images, query), "looked_at": len(images)}
    return await render(request, "facets.html", context)


async def search_range(request: Request) -> Response:
    """`/range?field=time&low=...&high=...&<search>`: the search within a range of a field."""
    params = request.query_params
    query = read_query(params)
    limits = read_range(*(params.get(name, "") for name in ("field", "low", "high")))
    return go_to(request, narrowed(query, limits).url)


def _answer(desk: Desk, query: DeskQuery, page: _Page, judged: Sequence[SetItem]) -> dict[str, Any]:
    cards: list[Card] = cards_of(page.hits, judged, query)
    timings = page.result.timings
    shown = {card.dom_id for card in cards}

    def hit_link(hit: Hit) -> str:
        anchor = dom_id(hit.image_id, hit.box)
        return f"#{anchor}" if anchor in shown else photo_url(hit.image_id, hit.box)

    settings = desk.settings
    return {
        "page": page,
        "spread": spread_of(page.best, query, settings.time_fields, settings.position_pairs),
        "hit_link": hit_link,
        "groups": grouped(cards, page.hits, query.group),
        "shown": len(cards),
        "hidden": 0 if query.show_judged else len(judged),
        "degraded": _degraded(page.result.coverage),
        "warnings": page.result.warnings,
        "coverage": page.result.coverage,
        "timings": timings,
        "milliseconds": page.milliseconds,
        "more_url": page.more_url if not query.group else "",
        "best": page.hits[0].score if page.hits else None,
    }


async def _ask(
    desk: Desk,
    query: DeskQuery,
    judged: Sequence[SetItem],
    *,
    after: tuple[float, str, tuple[int, int, int, int]] | None,
    shown: int,
) -> _Page:
    """The next hits after the cursor, a batch of them; all `query.k` where they are grouped.

    The order of hits is total, so a cursor neither repeats nor passes over any, also when patches
    are judged between two pages.
    """
    started = time.perf_counter()
    ignored = [] if query.show_judged else [i for i in judged if i.verdict is not Verdict.UNJUDGED]
    # One more than is shown tells whether there is more.
    batch = query.k if query.group else min(query.k, _BATCH)
    wanted = min(shown + batch + 1, MAX_K)
    if after is None and (desk.settings.time_fields or desk.settings.position_fields):
        wanted = max(wanted, HITS)
    hits, result = await desk.collection.search_unjudged(query, wanted, ignored)
    if after is not None:
        hits = [hit for hit in hits if _order(hit) > after]
    following = hits[:batch]
    more_url = ""
    if len(hits) > len(following) and following:
        last = following[-1]
        cursor = f"{last.score!r}|{place_text(last.image_id, last.box)}"
        params = [*query.params(), ("after", cursor), ("shown", str(shown + len(following)))]
        more_url = "/more?" + urlencode(params)
    return _Page(following, hits[:HITS], result, more_url, (time.perf_counter() - started) * 1000)


def _order(hit: Hit) -> tuple[float, str, tuple[int, int, int, int]]:
    return (-hit.score, hit.image_id, (hit.box.x, hit.box.y, hit.box.w, hit.box.h))


def _cursor(
    request: Request,
) -> tuple[tuple[float, str, tuple[int, int, int, int]], int]:
    score, _, place = request.query_params.get("after", "").partition("|")
    image_id, box = read_place(place)
    shown = request.query_params.get("shown", "0")
    try:
        at = (-float(score), image_id, (box.x, box.y, box.w, box.h))
        return at, min(max(int(shown), 0), MAX_K)
    except ValueError as error:
        raise InvalidArgument("PARAMETER_INVALID", "this is no cursor of /more") from error


async def _judged(desk: Desk, set_id: int | None) -> list[SetItem]:
    return [] if set_id is None else await desk.in_thread(desk.sets.items, set_id)


def _degraded(coverage: Coverage) -> str:
    if not coverage.degraded:
        return ""
    missing = coverage.partitions_total - coverage.partitions_answered
    why = [
        f"{number} {what}"
        for number, what in (
            (coverage.partitions_timed_out, "ran out of time"),
            (coverage.partitions_failed, "failed"),
        )
        if number
    ]
    patches = coverage.patches_total - coverage.patches_covered
    return (
        f"{missing} of {coverage.partitions_total} partitions did not answer"
        f"{' (' + ', '.join(why) + ')' if why else ''}: about {patches:,} of "
        f"{coverage.patches_total:,} patches were not searched."
    )
