"""What a set holds: patches with the verdict of who looked at them."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.results import Hit

DEFAULT_LABEL = "object"
"""The class of items that nobody named."""


class Verdict(enum.StrEnum):
    """What somebody said of a patch."""

    YES = "yes"
    """It shows what was looked for."""
    NO = "no"
    """It does not."""
    SKIP = "skip"
    """Seen, and left open."""
    UNJUDGED = ""
    """Nobody said anything."""


@dataclass(frozen=True, slots=True)
class SetItem:
    """One patch of a set.

    `width` and `height` are the whole image's, in pixels; `box` is in pixels of the upright image
    at full resolution. `score` is the cosine of the search that found it, None where none did.
    `label` is the class under which annotation tools list it.
    """

    image_id: str
    uri: str
    width: int
    height: int
    box: Box
    score: float | None = None
    label: str = DEFAULT_LABEL
    verdict: Verdict = Verdict.UNJUDGED
    metadata: Mapping[str, Any] = field(default_factory=dict)


def item_of(
    hit: Hit, *, label: str = DEFAULT_LABEL, verdict: Verdict = Verdict.UNJUDGED
) -> SetItem:
    """The item of a hit."""
    return SetItem(
        image_id=hit.image_id,
        uri=hit.uri,
        width=hit.image_width,
        height=hit.image_height,
        box=hit.box,
        score=hit.score,
        label=label,
        verdict=verdict,
        metadata=hit.metadata,
    )


def with_verdict(items: Iterable[SetItem], verdicts: Collection[Verdict]) -> list[SetItem]:
    """The items with one of these verdicts, in their order."""
    return [item for item in items if item.verdict in verdicts]


def checked(items: Iterable[SetItem]) -> list[SetItem]:
    """The items as a list, each with a box that lies in its image.

    Raises InvalidArgument BOX_OUTSIDE_IMAGE or LABEL_EMPTY.
    """
    found = list(items)
    for item in found:
        if not item.box.inside(item.width, item.height):
            box = item.box
            raise InvalidArgument(
                "BOX_OUTSIDE_IMAGE",
                f"box x={box.x} y={box.y} w={box.w} h={box.h} of {item.image_id!r} is not in its "
                f"image of {item.width}x{item.height} px; take the item out of the set",
            )
        if not item.label.strip():
            raise InvalidArgument(
                "LABEL_EMPTY", f"{item.image_id!r} has an empty label; name its class"
            )
    return found


def by_image(items: Iterable[SetItem]) -> dict[str, list[SetItem]]:
    """The items of each image, images in the order in which they first come."""
    groups: dict[str, list[SetItem]] = {}
    for item in items:
        groups.setdefault(item.image_id, []).append(item)
    return groups


def labels_of(items: Sequence[SetItem]) -> list[str]:
    """The labels, each once, sorted, so that a set gives the same classes in the same order."""
    return sorted({item.label for item in items})
