"""From judgements to the next search."""

from __future__ import annotations

import pytest

from patchsearch import PatchRef, Text
from patchsearch.exports import SetItem, Verdict
from patchsearch.feedback import MOST, PUSH, feedback_terms, judged_place, precision, unjudged
from patchsearch.geometry import Box
from patchsearch.results import Hit

YES, NO, SKIP = Verdict.YES, Verdict.NO, Verdict.SKIP
BUS = Text("a bus")


def items(*verdicts: Verdict) -> list[SetItem]:
    return [
        SetItem(f"{n}.jpg", "", 1000, 1000, Box(0, 0, 100, 100), verdict=verdict)
        for n, verdict in enumerate(verdicts)
    ]


def weights(*verdicts: Verdict) -> list[float]:
    return [term.weight for term in feedback_terms([BUS], items(*verdicts))]


def test_what_was_asked_counts_as_one_accepted_patch() -> None:
    terms = feedback_terms(["a bus"], items(YES, YES, YES))
    assert terms[0] == Text("a bus", 0.25)
    assert terms[1:] == [PatchRef(f"{n}.jpg", Box(0, 0, 100, 100), 0.25) for n in range(3)]
    several = feedback_terms([Text("a", 3.0), Text("b", -1.0)], items(YES))
    assert [term.weight for term in several] == [0.375, -0.125, 0.5]


def test_rejected_patches_push_and_never_more_than_the_limit() -> None:
    _, _, *away = weights(YES, *[NO] * 15)
    assert len(away) == 15 and sum(away) == pytest.approx(-PUSH, abs=1e-4)


def test_one_rejected_among_many_accepted_says_little() -> None:
    assert weights(*[YES] * 15, NO)[-1] == pytest.approx(-2 / 16)


def test_without_an_accepted_patch_what_was_asked_stays() -> None:
    assert weights(NO, NO) == [1.0, -PUSH / 2, -PUSH / 2]
    assert weights(SKIP, Verdict.UNJUDGED) == [1.0]
    assert feedback_terms([Text("a bus", 3.0)], []) == [Text("a bus", 3.0)]


def test_accepted_patches_are_a_question_of_their_own() -> None:
    assert [term.weight for term in feedback_terms([], items(YES, YES))] == [0.5, 0.5]
    assert feedback_terms([], []) == []


def test_rounds_do_not_pile_up() -> None:
    judged = items(YES, YES, YES, NO)
    once = feedback_terms([BUS], judged)
    assert feedback_terms(once, judged) == once
    # A patch that was asked for and is judged since counts by its verdict.
    assert feedback_terms([BUS, PatchRef("0.jpg", Box(0, 0, 100, 100))], judged) == once


def test_a_query_takes_all_the_terms() -> None:
    terms = feedback_terms([BUS], items(*[YES] * 300, *[NO] * 300))
    assert len(terms) == 1 + 2 * MOST <= 256
    assert terms[MOST] == PatchRef("299.jpg", Box(0, 0, 100, 100), terms[1].weight)


def hit(number: int, box: Box) -> Hit:
    return Hit(f"{number}.jpg", box, 0.5, "exact", 1, "", 1000, 1000, {}, ())


def test_a_place_that_was_seen_is_left_out() -> None:
    judged = items(SKIP, YES, Verdict.UNJUDGED)
    hits = [
        hit(0, Box(0, 0, 100, 100)),
        hit(1, Box(40, 0, 100, 100)),
        hit(1, Box(60, 0, 100, 100)),
        hit(1, Box(20, 20, 20, 20)),
        hit(2, Box(0, 0, 100, 100)),
    ]
    assert unjudged(hits, judged) == [hits[2], hits[4]]
    assert judged_place("1.jpg", Box(40, 0, 100, 100), judged) == judged[1]


def test_precision_counts_yes_and_no_alone() -> None:
    assert precision(items(YES, NO, YES, SKIP)) == pytest.approx(2 / 3)
    assert precision(items(SKIP)) is None
