"""From what was judged to the next search, and to what of its answer is new.

Rocchio's relevance feedback (Rocchio, in The SMART Retrieval System, 1971) in the terms of a
search: the question is kept, the mean of the accepted patches is added, that of the rejected is
taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from patchsearch.exports.items import SetItem, Verdict
from patchsearch.geometry import Box
from patchsearch.query import PatchRef, Term, TermLike, as_term
from patchsearch.results import Hit

KEEP = 0.5
"""Weight of the question as it was, in all, once something was accepted."""
PULL = 1.0
"""Weight of the accepted patches, in all."""
PUSH = 0.5
"""Weight of the rejected patches, in all."""
MOST = 64
"""Accepted and rejected patches that are used, each: the last of the set."""
_SAME_PLACE = 0.5


def feedback_terms(
    asked: Iterable[TermLike],
    judged: Iterable[SetItem],
    *,
    keep: float = KEEP,
    pull: float = PULL,
    push: float = PUSH,
) -> list[Term]:
    """The terms of the next search: what was asked, and the judged patches.

    Give what was asked in the first round, not the terms of the round before. Without an accepted
    patch the question keeps its weights, for there is nothing to pull towards; without a question
    either, there are no terms, and a search of none is refused (QUERY_EMPTY).
    """
    items = list(judged)
    own = [as_term(term) for term in asked]
    accepted = [item for item in items if item.verdict is Verdict.YES][-MOST:]
    rejected = [item for item in items if item.verdict is Verdict.NO][-MOST:]
    if accepted:
        total = sum(abs(term.weight) for term in own)
        own = [replace(term, weight=keep * term.weight / total) for term in own if keep and total]
    terms = [*own, *_patches(accepted, pull)]
    return [*terms, *_patches(rejected, -push)] if terms and push else terms


def unjudged(hits: Iterable[Hit], judged: Iterable[SetItem]) -> list[Hit]:
    """The hits whose place nobody has judged or skipped, in their order.

    A place counts as seen when an item of its image shares at least half of the smaller box.
    """
    seen: dict[str, list[Box]] = {}
    for item in judged:
        if item.verdict is not Verdict.UNJUDGED:
            seen.setdefault(item.image_id, []).append(item.box)
    return [
        hit
        for hit in hits
        if not any(_same_place(hit.box, box) for box in seen.get(hit.image_id, ()))
    ]


def precision(judged: Iterable[SetItem]) -> float | None:
    """Share of the accepted among the accepted and rejected; None before anything is judged."""
    verdicts = [item.verdict for item in judged]
    yes, no = verdicts.count(Verdict.YES), verdicts.count(Verdict.NO)
    return yes / (yes + no) if yes + no else None


def _patches(items: Sequence[SetItem], weight: float) -> list[PatchRef]:
    return [PatchRef(item.image_id, item.box, weight / len(items)) for item in items]


def _same_place(one: Box, other: Box) -> bool:
    return one.intersection(other) >= _SAME_PLACE * min(one.area, other.area)
