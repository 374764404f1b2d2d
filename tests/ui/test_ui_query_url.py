"""Searches as addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from ui.query_url import DeskQuery, DeskTerm, read_place, read_query

sides = st.integers(0, 5000)
boxes = st.builds(Box, sides, sides, sides, sides)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: bool(text.strip()) and text == text.strip()
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
weights = st.integers(-400, 400).filter(bool).map(lambda n: n / 8)
terms = st.one_of(
    st.builds(DeskTerm, st.just("text"), words, st.none(), weights),
    st.builds(DeskTerm, st.just("crop"), digests, st.none(), weights),
    st.builds(DeskTerm, st.just("region"), digests, boxes, weights),
    st.builds(DeskTerm, st.just("patch"), words, boxes, weights),
    st.builds(DeskTerm, st.just("photo"), words, boxes, weights),
)
queries = st.builds(
    DeskQuery,
    terms=st.lists(terms, max_size=6).map(tuple),
    k=st.integers(1, 1000),
    threshold=st.none() | st.integers(-8, 8).map(lambda n: n / 8),
    filter=words | st.just(""),
    exact=st.booleans(),
    oversample=st.none() | st.integers(1, 100).map(float),
    ef=st.none() | st.integers(1, 4096),
    nprobe=st.none() | st.integers(1, 65536),
    overlap=st.booleans(),
    group=st.sampled_from(["", "image", "drive"]),
    show_judged=st.booleans(),
)


@given(queries)
def test_an_address_says_the_whole_search(query: DeskQuery) -> None:
    assert read_query(QueryParams(query.query_string)) == query


@pytest.mark.parametrize(
    "address",
    [
        "t=text:",
        "t=crop:../../etc/passwd",
        "t=region:1,2,3,4@nodigest",
        "t=patch:1,2,3@a.jpg",
        "t=unknown:x",
        "t=text:a&w=0",
        "t=text:a&w=nan",
        "t=text:a&w=many",
        "k=0",
        "k=2.5",
        "k=100000",
        "min=2",
        "ef=-1",
        "&".join("t=text:a" for _ in range(257)),
    ],
)
def test_what_cannot_be_searched_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument):
        read_query(QueryParams(address))


def test_typed_words_become_a_term() -> None:
    query = read_query(QueryParams("t=text:bus&w=2&q= a red bus "))
    assert query.terms == (DeskTerm("text", "bus", None, 2.0), DeskTerm("text", "a red bus"))


def test_a_term_that_is_there_gets_the_new_weight() -> None:
    term = DeskTerm("patch", "a.jpg", Box(1, 2, 3, 4), -0.5)
    query = DeskQuery((term,)).plus(DeskTerm("patch", "a.jpg", Box(1, 2, 3, 4)))
    assert [one.weight for one in query.terms] == [1.0]


def test_an_image_id_may_hold_what_separates() -> None:
    assert read_place("1,2,3,4@a@b,c|d") == ("a@b,c|d", Box(1, 2, 3, 4))
