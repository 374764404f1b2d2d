"""From judgements to the next query."""

from __future__ import annotations

import pytest

from patchsearch.exports.items import SetItem, Verdict
from patchsearch.geometry import Box
from patchsearch.results import Hit
from ui.feedback import PUSH, feedback_terms, precision, unjudged
from ui.query_url import DeskTerm

CROP = DeskTerm("crop", "0" * 64)


def item(number: int, verdict: Verdict) -> SetItem:
    return SetItem(f"{number}.jpg", "", 1000, 1000, Box(0, 0, 100, 100), verdict=verdict)


def hit(number: int, box: Box) -> Hit:
    return Hit(f"{number}.jpg", box, 0.5, "exact", 1, "", 1000, 1000, {}, ())


def test_the_query_counts_as_one_accepted_patch() -> None:
    judged = [item(n, Verdict.YES) for n in range(3)]
    terms = feedback_terms([CROP], judged)
    assert [term.kind for term in terms] == ["crop", "patch", "patch", "patch"]
    assert [term.weight for term in terms] == pytest.approx([0.25] * 4)


def test_rejected_patches_push_and_never_more_than_the_limit() -> None:
    judged = [item(0, Verdict.YES), *(item(n, Verdict.NO) for n in range(1, 16))]
    away = [term.weight for term in feedback_terms([CROP], judged) if term.weight < 0]
    assert len(away) == 15
    assert sum(away) == pytest.approx(-PUSH, abs=1e-4)


def test_one_rejected_among_many_accepted_says_little() -> None:
    judged = [*(item(n, Verdict.YES) for n in range(15)), item(15, Verdict.NO)]
    (away,) = [term.weight for term in feedback_terms([CROP], judged) if term.weight < 0]
    assert away == pytest.approx(-2 / 16, abs=1e-4)


def test_rounds_do_not_pile_up() -> None:
    judged = [item(n, Verdict.YES) for n in range(3)] + [item(9, Verdict.NO)]
    once = feedback_terms([CROP], judged)
    assert feedback_terms(once, judged) == once


def test_without_an_accepted_patch_the_query_stays() -> None:
    terms = feedback_terms([CROP], [item(0, Verdict.NO)])
    assert terms[0] == CROP and terms[1].weight == -PUSH


def test_skipped_patches_are_no_terms() -> None:
    assert feedback_terms([CROP], [item(0, Verdict.SKIP)]) == (CROP,)


def test_a_place_that_was_seen_is_left_out() -> None:
    judged = [item(0, Verdict.SKIP), item(1, Verdict.YES)]
    hits = [
        hit(0, Box(0, 0, 100, 100)),
        hit(1, Box(40, 0, 100, 100)),
        hit(1, Box(60, 0, 100, 100)),
        hit(1, Box(20, 20, 20, 20)),
        hit(2, Box(0, 0, 100, 100)),
    ]
    assert unjudged(hits, judged) == [hits[2], hits[4]]


def test_precision_counts_yes_and_no_alone() -> None:
    verdicts = [Verdict.YES, Verdict.NO, Verdict.YES, Verdict.SKIP]
    assert precision(item(n, v) for n, v in enumerate(verdicts)) == pytest.approx(2 / 3)
    assert precision([]) is None
