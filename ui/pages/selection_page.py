"""The selection made visible: a photo's saliency map, its patches, and why not other windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from patchsearch.errors import PatchsearchError
from patchsearch.explanation import ExplainedWindow, SelectionExplanation, WindowDecision
from patchsearch.results import ImageDetail
from ui.desk import Desk, desk_of
from ui.error_pages import status_of
from ui.explanations import Explained, glowing
from ui.pages.pictures import photo_content, reason_picture
from ui.pages.rendering import is_htmx, render
from ui.selection_reasons import NAMES, reason, rules

_ROWS = 60
_MOST_ROWS = 1000
_OTHERS = "others"
_SLUGS = {decision.name.lower(): decision for decision in NAMES}


@dataclass(frozen=True, slots=True)
class Chooser:
    """Which windows are listed: of a decision or all but the chosen, a level, a side; 0 is any."""

    show: str
    level: int
    side: int
    rows: int

    @classmethod
    def read(cls, params: QueryParams) -> Chooser:
        """From an address; what makes no sense there stands for the default."""
        show = params.get("show", _OTHERS)
        return cls(
            show if show in _SLUGS else _OTHERS,
            _whole(params.get("level", "")),
            _whole(params.get("side", "")),
            min(max(_whole(params.get("rows", "")), _ROWS), _MOST_ROWS),
        )

    def takes(self, window: ExplainedWindow) -> bool:
        """Whether a window is to be listed."""
        if self.show == _OTHERS:
            fits = window.decision is not WindowDecision.CHOSEN
        else:
            fits = window.decision is _SLUGS[self.show]
        return fits and self.level in (0, window.level) and self.side in (0, window.box.w)

    def longer(self, image_id: str) -> str:
        """The address of a longer list; empty where this is the longest."""
        if self.rows == _MOST_ROWS:
            return ""
        asked = {"id": image_id, "show": self.show, "level": self.level, "side": self.side}
        return "/photo/selection?" + urlencode({**asked, "rows": self.rows * 4})


async def selection_page(request: Request) -> Response:
    """`/photo/selection?id=image&show=others&level=1&side=224&rows=60`: a page, whose section
    `#selection` a photo's page takes in."""
    desk = desk_of(request)
    image_id = request.query_params.get("id", "")
    chooser = Chooser.read(request.query_params)
    context: dict[str, Any] = {
        "image_id": image_id,
        "address": "/photo/selection?" + urlencode({"id": image_id}),
        "photo_address": "/photo?" + urlencode({"id": image_id}),
        "picture": "/pictures/photo?" + urlencode({"id": image_id, "side": 1600}),
        # Whoever asked for it by a key finds it there; filters leave the focus where it is.
        "takes_focus": is_htmx(request) and "show" not in request.query_params,
        "chooser": chooser,
        "problem": None,
        "told": None,
    }
    status = 200
    try:
        detail = await desk.collection.detail(image_id)
        explained = await _explained(desk, detail)
        context.update(_view(explained, detail, chooser))
    except PatchsearchError as error:
        context["problem"] = error
        status = status_of(error)
    return await render(request, "selection.html", context, status)


async def saliency_picture(request: Request) -> Response:
    """`/pictures/saliency?of=key&region=0`: a saliency map to be laid over its region, as PNG."""
    desk = desk_of(request)
    try:
        grey = desk.explanations.saliency_png(
            request.query_params.get("of", ""), _whole(request.query_params.get("region", ""))
        )
        made = await desk.in_thread(glowing, grey)
    except PatchsearchError as error:
        return reason_picture(error)
    return Response(made, media_type="image/png", headers={"cache-control": "private, max-age=600"})


async def _explained(desk: Desk, detail: ImageDetail) -> Explained:
    content = await photo_content(desk, detail.image.image_id)
    # By the selector that the photo was stored with, whatever the default is now.
    return await desk.explanations.of(content, detail.image.selection.partition("/")[0])


def _view(explained: Explained, detail: ImageDetail, chooser: Chooser) -> dict[str, Any]:
    told = explained.told
    listed = [window for window in told.windows if chooser.takes(window)]
    stored = {patch.box for patch in detail.patches}
    first_of_level = {region.level: region for region in reversed(told.regions)}
    return {
        "told": told,
        "maps": [
            (region, "/pictures/saliency?" + urlencode({"of": explained.key, "region": number}))
            for number, region in enumerate(told.regions)
            if region.saliency_png
        ],
        "chosen": told.chosen,
        "levels": [(level, rules(region)) for level, region in sorted(first_of_level.items())],
        "counts": _counts(told, list(first_of_level)),
        "rows": [(w, reason(w, told.regions[w.region])) for w in listed[: chooser.rows]],
        "listed": len(listed),
        "left_out": told.window_count - len(told.windows),
        "longer": chooser.longer(detail.image.image_id) if len(listed) > chooser.rows else "",
        "shows": [(_OTHERS, "all that were not chosen")]
        + [(slug, NAMES[d]) for slug, d in _SLUGS.items() if _total(told, d)],
        "sides": sorted({window.box.w for window in told.windows}, reverse=True),
        "names": NAMES,
        "differs": stored != {window.box for window in told.chosen},
        "is_changed": bool(detail.image.digest) and detail.image.digest != explained.digest,
        "stored_by": detail.image.selection,
    }


def _counts(told: SelectionExplanation, levels: list[int]) -> list[tuple[str, list[int]]]:
    return [
        (name, [told.counts.get((level, decision), 0) for level in sorted(levels)])
        for decision, name in NAMES.items()
        if _total(told, decision)
    ]


def _total(told: SelectionExplanation, decision: WindowDecision) -> int:
    return sum(count for (_, met), count in told.counts.items() if met is decision)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
