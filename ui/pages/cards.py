"""Hits as the grid shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from patchsearch.exports.items import SetItem, by_image
from patchsearch.feedback import judged_place
from patchsearch.geometry import Box
from patchsearch.results import Hit
from ui.query_url import DeskQuery, DeskTerm, place_text

TILE_SIDE = 320


@dataclass(frozen=True, slots=True)
class Card:
    """One patch of a grid."""

    rank: int
    image_id: str
    box: Box
    score: float | None
    is_exact: bool
    level: int
    verdict: str
    suppressed: int
    query: str
    """Query string of the search that found it."""

    @property
    def place(self) -> str:
        """Box and image as one text."""
        return place_text(self.image_id, self.box)

    @property
    def dom_id(self) -> str:
        """A name that is safe in HTML, whatever the image's id holds."""
        return dom_id(self.image_id, self.box)

    @property
    def picture(self) -> str:
        """Address of its picture."""
        return picture_url(self.image_id, self.box)

    @property
    def page(self) -> str:
        """Address of the page that shows it in its photo."""
        return photo_url(self.image_id, self.box, self.query)

    @property
    def found(self) -> str:
        """Score and place, as judging sends them."""
        return f"{'' if self.score is None else repr(self.score)}|{self.place}"


def dom_id(image_id: str, box: Box) -> str:
    """A name for a patch, the same on every page."""
    return "p" + hashlib.sha256(place_text(image_id, box).encode()).hexdigest()[:16]


def picture_url(image_id: str, box: Box, side: int = TILE_SIDE) -> str:
    """Address of a patch's picture."""
    return "/pictures/patch?" + urlencode({"at": place_text(image_id, box), "side": side})


def photo_url(image_id: str, box: Box | None = None, query: str = "") -> str:
    """Address of a photo's page, with a patch in it and the search that found it."""
    params = {"id": image_id}
    if box is not None:
        params["at"] = f"{box.x},{box.y},{box.w},{box.h}"
    return "/photo?" + urlencode(params) + (f"&{query}" if query else "")


def cards_of(
    hits: Sequence[Hit], judged: Sequence[SetItem], query: DeskQuery, first_rank: int = 1
) -> list[Card]:
    """The hits as cards, with the verdicts of the open set."""
    exact = {(item.image_id, item.box): item for item in judged}
    near = by_image(judged)
    text = query.query_string
    cards = []
    for rank, hit in enumerate(hits, first_rank):
        known = exact.get((hit.image_id, hit.box)) or judged_place(
            hit.image_id, hit.box, near.get(hit.image_id, ())
        )
        cards.append(
            Card(
                rank=rank,
                image_id=hit.image_id,
                box=hit.box,
                score=hit.score,
                is_exact=hit.score_kind == "exact",
                level=hit.level,
                verdict=known.verdict.value if known else "",
                suppressed=len(hit.suppressed),
                query=text,
            )
        )
    return cards


def card_of_item(item: SetItem, rank: int) -> Card:
    """An item of a set as a card."""
    return Card(rank, item.image_id, item.box, item.score, True, 0, item.verdict.value, 0, "")


@dataclass(frozen=True, slots=True)
class Group:
    """Cards under one heading."""

    name: str
    cards: Sequence[Card]


def grouped(cards: Sequence[Card], hits: Sequence[Hit], by: str) -> list[Group]:
    """Cards by image or drive, groups in the order of their best card; one group if by nothing.

    A drive is the metadata field `drive`, else the id up to its last slash.
    """
    if not by:
        return [Group("", cards)]
    groups: dict[str, list[Card]] = {}
    for card, hit in zip(cards, hits, strict=True):
        drive = str(hit.metadata.get("drive") or hit.image_id.rpartition("/")[0] or "no drive")
        groups.setdefault(hit.image_id if by == "image" else drive, []).append(card)
    return [Group(name, members) for name, members in groups.items()]


@dataclass(frozen=True, slots=True)
class Chip:
    """One term of the query, as it is shown and edited."""

    position: int
    value: str
    kind: str
    label: str
    weight: str
    is_negative: bool
    picture: str
    page: str
    remove: str
    flip: str


def chips_of(query: DeskQuery) -> list[Chip]:
    """The terms as chips."""
    return [_chip(query, position, term) for position, term in enumerate(query.terms)]


def _chip(query: DeskQuery, position: int, term: DeskTerm) -> Chip:
    picture = page = ""
    label = term.source
    if term.kind in ("patch", "photo") and term.box is not None:
        picture = picture_url(term.source, term.box, 64)
        page = photo_url(term.source, term.box)
    elif term.kind in ("crop", "region"):
        box = term.box
        at = "" if box is None else f"{box.x},{box.y},{box.w},{box.h}"
        picture = "/pictures/upload?" + urlencode({"digest": term.source, "at": at, "side": 64})
        page = "/upload?" + urlencode({"digest": term.source}) + f"&{query.query_string}"
        label = "crop" if box is None else "part of a crop"
    return Chip(
        position=position,
        value=term.value,
        kind=term.kind,
        label=label,
        weight=f"{term.weight:.3g}",
        is_negative=term.weight < 0,
        picture=picture,
        page=page,
        remove=query.without(position).url,
        flip=query.flipped(position).url,
    )
