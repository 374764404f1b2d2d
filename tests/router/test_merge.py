from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from patchsearch.geometry import Box
from patchsearch.v1.search_service_pb2 import Hit
from router.merge import merge_hits, rank


@dataclass(frozen=True)
class PlainHit:
    score: float
    image_id: str
    box: Box


boxes = st.builds(Box, st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))
hits = st.builds(
    PlainHit, st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), st.text(max_size=3), boxes
)


@given(st.lists(st.lists(hits, max_size=20), max_size=5), st.integers(1, 40))
def test_merging_sorted_runs_is_sorting_everything(runs: list[list[PlainHit]], k: int) -> None:
    sorted_runs = [sorted(run, key=rank) for run in runs]
    everything = sorted((hit for run in runs for hit in run), key=rank)
    assert [rank(h) for h in merge_hits(sorted_runs, k)] == [rank(h) for h in everything[:k]]


def test_order_is_score_then_the_bytes_of_the_id_then_box() -> None:
    best = PlainHit(0.9, "z", Box(9, 9, 9, 9))
    # By code units U+FF61 comes after U+1F600's surrogates, by UTF-8 bytes before it.
    earlier, later = (
        PlainHit(0.5, "\uff61", Box(0, 0, 1, 1)),
        PlainHit(0.5, "\U0001f600", Box(0, 0, 1, 1)),
    )
    left, right = PlainHit(0.1, "a", Box(1, 9, 9, 9)), PlainHit(0.1, "a", Box(2, 0, 1, 1))
    merged = merge_hits([[later, left], [best, earlier, right]], 5)
    assert merged == [best, earlier, later, left, right]


def test_messages_merge_as_they_are() -> None:
    low = Hit(image_id="a", score=0.25, box={"x": 1, "y": 2, "w": 3, "h": 4}, uri="kept")
    high = Hit(image_id="b", score=0.5, box={"x": 1, "y": 2, "w": 3, "h": 4})
    assert merge_hits([[low], [high]], 2) == [high, low]
    assert merge_hits([[high, low]], 1) == [high]
    assert merge_hits([], 3) == []
