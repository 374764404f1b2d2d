"""The order of hits and the choice among overlapping ones; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BoxTuple = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A place in the order that is kept, and the places that it suppresses, best first."""

    place: int
    suppressed: tuple[int, ...]


def hit_order(
    scores: NDArray[np.float32], tie_key: Callable[[int], tuple[bytes, BoxTuple]]
) -> NDArray[np.int64]:
    """Indexes of `scores` (n,) in the order of hits: highest first, then by `tie_key`.

    `tie_key(i)` gives (image_id, box) of an entry; it is asked only where scores are equal.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    equal = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(equal) == 0:
        return order
    # Runs of neighbours with equal scores: [first, last] where consecutive `equal` join.
    breaks = np.flatnonzero(np.diff(equal) > 1)
    firsts = equal[np.concatenate(([0], breaks + 1))]
    lasts = equal[np.concatenate((breaks, [len(equal) - 1]))] + 1
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        order[first : last + 1] = sorted(order[first : last + 1].tolist(), key=tie_key)
    return order


def keep_best(
    images: Sequence[int], boxes: Sequence[Sequence[int]], k: int, *, with_suppressed: bool = True
) -> list[Kept]:
    """Chooses greedily: a box is suppressed if it shares a pixel with a kept one of its image.

    `images` and `boxes` are in the order of hits. Stops choosing at `k`; what comes later is still
    counted to the first kept box that it overlaps, unless nobody wants `with_suppressed`.
    """
    kept: list[int] = []
    suppressed: list[list[int]] = []
    kept_of: dict[int, list[int]] = {}
    for place, (image, (x, y, w, h)) in enumerate(zip(images, boxes, strict=True)):
        if len(kept) == k and not with_suppressed:
            break
        mine = kept_of.get(image)
        if mine is not None:
            for number in mine:
                ox, oy, ow, oh = boxes[kept[number]]
                if x < ox + ow and ox < x + w and y < oy + oh and oy < y + h:
                    suppressed[number].append(place)
                    break
            else:
                if len(kept) < k:
                    mine.append(len(kept))
                    kept.append(place)
                    suppressed.append([])
        elif len(kept) < k:
            kept_of[image] = [len(kept)]
            kept.append(place)
            suppressed.append([])
    return [Kept(place, tuple(others)) for place, others in zip(kept, suppressed, strict=True)]


def keep_first(count: int, k: int) -> list[Kept]:
    """The first `k` of `count` places, suppressing nothing."""
    return [Kept(place, ()) for place in range(min(count, k))]
