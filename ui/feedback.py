"""From what was judged to the next query, and to what of its answer is new.

Rocchio's relevance feedback (The SMART Retrieval System, 1971) in the terms of the search itself:
the query moves to the mean of the accepted patches and away from the rejected ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from patchsearch.exports.items import SetItem, Verdict
from patchsearch.geometry import Box
from patchsearch.results import Hit
from ui.query_url import DeskTerm

KEEP = 1.0
"""The query as it was counts as so many accepted patches."""
PUSH = 0.7
"""Most that the rejected patches weigh, against 1 for the query and the accepted ones."""
PUSH_EACH = 2.0
"""A rejected patch weighs at most so many times what an accepted one does: a single rejected patch
among many accepted ones is often a near miss, and says little."""
MOST = 64
"""Accepted and rejected patches that are used, each: the last ones judged."""
_SAME_PLACE = 0.5


def feedback_terms(
    asked: Sequence[DeskTerm],
    judged: Iterable[SetItem],
    *,
    keep: float = KEEP,
    push: float = PUSH,
    push_each: float = PUSH_EACH,
) -> tuple[DeskTerm, ...]:
    """The terms of the next search: those asked for, scaled, and the judged patches.

    Patches that an earlier round added are taken out first, so that rounds do not pile up. `judged`
    is in the order of judging. Without an accepted patch there is nothing to move to: the terms
    asked for keep their weights, and the rejected weigh `push` in all. `keep` 0 drops what was
    asked for.
    """
    items = list(judged)
    places = {(item.image_id, item.box) for item in items if item.verdict in _COUNT}
    own = [t for t in asked if t.kind != "patch" or (t.source, t.box) not in places]
    accepted = [item for item in items if item.verdict is Verdict.YES][-MOST:]
    rejected = [item for item in items if item.verdict is Verdict.NO][-MOST:]
    if not accepted:
        looks_for_something = any(term.weight > 0 for term in own)
        return (*own, *(_terms(rejected, -push) if looks_for_something else ()))
    total = sum(abs(term.weight) for term in own)
    share = 1 / (len(accepted) + (keep if own else 0))
    if keep:
        own = [replace(t, weight=_rounded(keep * share * t.weight / total)) for t in own]
    away = min(push, push_each * share * len(rejected))
    return (
        *(own if keep else ()),
        *_terms(accepted, share * len(accepted)),
        *(_terms(rejected, -away) if away else ()),
    )


_COUNT = (Verdict.YES, Verdict.NO)


def judged_place(image_id: str, box: Box, judged: Iterable[SetItem]) -> SetItem | None:
    """The judged or skipped item that shows this place: one of its image that shares at least half
    of the smaller of the two boxes; None where nobody has seen it."""
    for item in judged:
        if item.image_id == image_id and _same_place(item.box, box):
            return item
    return None


def unjudged(hits: Iterable[Hit], judged: Iterable[SetItem]) -> list[Hit]:
    """The hits whose place nobody has judged, in their order."""
    by_image: dict[str, list[SetItem]] = {}
    for item in judged:
        by_image.setdefault(item.image_id, []).append(item)
    return [
        hit
        for hit in hits
        if judged_place(hit.image_id, hit.box, by_image.get(hit.image_id, ())) is None
    ]


def precision(judged: Iterable[SetItem]) -> float | None:
    """Share of the accepted among the accepted and rejected; None before anything is judged."""
    verdicts = [item.verdict for item in judged if item.verdict in _COUNT]
    return verdicts.count(Verdict.YES) / len(verdicts) if verdicts else None


def _terms(items: Sequence[SetItem], weight: float) -> list[DeskTerm]:
    share = _rounded(weight / max(len(items), 1))
    return [DeskTerm("patch", item.image_id, item.box, share) for item in items]


def _same_place(one: Box, other: Box) -> bool:
    return one.intersection(other) >= _SAME_PLACE * min(one.area, other.area)


def _rounded(weight: float) -> float:
    # As the address writes it, so that going back to an address asks for exactly the same.
    return float(f"{weight:.6g}")
