"""Filters of every kind, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from patchsearch.field_path import join_path
from patchsearch.filters import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    TimeRange,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.one_of(
    st.sampled_from(["speed", "and", "image_id", "true", "serial.no", "back\\slash", "7", "a b"]),
    texts.filter(bool),
)
paths = st.lists(keys, min_size=1, max_size=3).map(join_path)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC) | zones)
matches = st.builds(
    Match, paths, st.lists(texts | numbers | st.booleans(), min_size=1, max_size=4).map(tuple)
)


def ranges(kind: type, values: st.SearchStrategy) -> st.SearchStrategy[Filter]:
    bound = st.none() | values
    return st.builds(kind, paths, bound, bound, bound, bound).filter(
        lambda made: made != kind(made.field)
    )


leaves: st.SearchStrategy[Filter] = st.one_of(
    matches,
    ranges(NumberRange, numbers),
    ranges(TimeRange, times),
    st.builds(Exists, paths),
    st.builds(ImageIdPrefix, texts),
)


def _joined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    members = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.one_of(st.builds(AllOf, members), st.builds(AnyOf, members), st.builds(Not, parts))


filters = st.recursive(leaves, _joined, max_leaves=8)
"""Within the limits nearly always: the depth is not bounded, but recursion is rarely deep."""


def depth(filter: Filter) -> int:
    match filter:
        case AllOf() | AnyOf():
            return 1 + max(depth(member) for member in filter.filters)
        case Not():
            return 1 + depth(filter.filter)
        case _:
            return 1
