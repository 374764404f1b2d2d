"""From what was judged to the next search, and to what of its answer is new.

Rocchio's relevance feedback (Rocchio, in The SMART Retrieval System, 1971) in the terms of a
search: it moves to the mean of the accepted patches and away from the rejected ones. The weights
are measured (`benchmarks.feedback`; `docs/decisions/015-feedback-stays-a-weighted-mean.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import Field, replace
from typing import Any, ClassVar, Protocol, TypeVar

from patchsearch.exports.items import SetItem, Verdict, by_image
from patchsearch.geometry import Box
from patchsearch.query import PatchRef, Term, TermLike, as_term
from patchsearch.results import Hit

KEEP = 1.0
"""What was asked counts as so many accepted patches."""
PUSH = 0.7
"""Most that the rejected patches weigh, against 1 for what was asked and the accepted ones."""
PUSH_EACH = 2.0
"""A rejected patch weighs at most so many times what an accepted one does: a single rejected patch
among many accepted ones is often a near miss, and says little."""
MOST = 64
"""Accepted and rejected patches that are used, each: the last ones judged."""
_SAME_PLACE = 0.5


class Weighted(Protocol):
    """A frozen dataclass with a weight, such as a term of a search."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def weight(self) -> float:
        """How much it counts; below zero it pushes away."""
        ...


T = TypeVar("T", bound=Weighted)


def feedback_terms(asked: Iterable[TermLike], judged: Iterable[SetItem]) -> list[Term]:
    """The terms of the next search: what was asked, and the judged patches.

    `judged` is in the order of judging. Patches that an earlier round added to `asked` are taken
    out first, so that rounds do not pile up. While nothing is accepted or rejected, what was asked
    stays as it is. Where nothing is left that is looked for, the search refuses the terms
    (QUERY_EMPTY, QUERY_NEGATIVE_ONLY).
    """
    return reweighted([as_term(term) for term in asked], judged, _patch)


def reweighted(
    asked: Iterable[T], judged: Iterable[SetItem], patch: Callable[[SetItem, float], T]
) -> list[T]:
    """`feedback_terms` for any kind of term; `patch` makes the one of an item and its weight."""
    items = list(judged)
    accepted = [item for item in items if item.verdict is Verdict.YES]
    rejected = [item for item in items if item.verdict is Verdict.NO]
    added = {patch(item, 1.0) for item in (*accepted, *rejected)}
    own = [term for term in asked if replace(term, weight=1.0) not in added]
    if not added:
        return own
    accepted, rejected = accepted[-MOST:], rejected[-MOST:]
    share = 1 / ((len(accepted) + (KEEP if own else 0)) or 1)
    total = sum(abs(term.weight) for term in own) or 1
    away = min(PUSH, PUSH_EACH * share * len(rejected)) / (len(rejected) or 1)
    return [
        *(replace(term, weight=_rounded(KEEP * share * term.weight / total)) for term in own),
        *(patch(item, _rounded(share)) for item in accepted),
        *(patch(item, _rounded(-away)) for item in rejected),
    ]


def judged_place(image_id: str, box: Box, judged: Iterable[SetItem]) -> SetItem | None:
    """The judged or skipped item that shows this place: one of its image that shares at least half
    of the smaller of the two boxes; None where nobody has seen it."""
    for item in judged:
        if (
            item.verdict is not Verdict.UNJUDGED
            and item.image_id == image_id
            and box.intersection(item.box) >= _SAME_PLACE * min(box.area, item.box.area)
        ):
            return item
    return None


def unjudged(hits: Iterable[Hit], judged: Iterable[SetItem]) -> list[Hit]:
    """The hits whose place nobody has judged or skipped (`judged_place`), in their order."""
    items = by_image(judged)
    return [
        hit
        for hit in hits
        if judged_place(hit.image_id, hit.box, items.get(hit.image_id, ())) is None
    ]


def precision(judged: Iterable[SetItem]) -> float | None:
    """Share of the accepted among the accepted and rejected; None before anything is judged."""
    verdicts = [item.verdict for item in judged]
    yes, no = verdicts.count(Verdict.YES), verdicts.count(Verdict.NO)
    return yes / (yes + no) if yes + no else None


def _patch(item: SetItem, weight: float) -> Term:
    return PatchRef(item.image_id, item.box, weight)


def _rounded(weight: float) -> float:
    # As an address writes it, so that going back to one asks for exactly the same.
    return float(f"{weight:.6g}")
