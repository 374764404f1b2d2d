"""What filters mean, on plain Python values, and random ones of both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from patchsearch.field_path import join_path, split_path
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

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII | re.DOTALL
)


def meets(filter: Filter, image_id: str, metadata: dict[str, Any]) -> bool:
    """Whether an image meets a filter."""
    match filter:
        case AllOf():
            return all(meets(part, image_id, metadata) for part in filter.filters)
        case AnyOf():
            return any(meets(part, image_id, metadata) for part in filter.filters)
        case Not():
            return not meets(filter.filter, image_id, metadata)
        case ImageIdPrefix():
            return image_id.startswith(filter.prefix)
        case Exists():
            return any(True for _ in _held(metadata, split_path(filter.field)))
    held = list(_held(metadata, split_path(filter.field)))
    if isinstance(filter, Match):
        return any(_same(value, wanted) for value in held for wanted in filter.values)
    if isinstance(filter, NumberRange):
        values: list[Any] = [
            v for v in held if isinstance(v, (int, float)) and not isinstance(v, bool)
        ]
    else:
        values = [time for v in held if (time := as_time(v)) is not None]
    return any(
        (filter.gte is None or value >= filter.gte)
        and (filter.gt is None or value > filter.gt)
        and (filter.lte is None or value <= filter.lte)
        and (filter.lt is None or value < filter.lt)
        for value in values
    )


def as_time(value: Any) -> datetime | None:
    """The time that a string is."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None


def _held(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """All that the field holds but null: lists themselves, and each of their elements."""
    if isinstance(value, list):
        if not path:
            yield value
        for item in value:
            yield from _held(item, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _held(value[path[0]], path[1:])


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, str) or isinstance(wanted, str):
        return type(value) is type(wanted) and bool(value == wanted)
    return isinstance(value, (int, float)) and bool(value == wanted)


# Often the same ones, so that filters meet something.
KEYS = st.sampled_from(["a"] * 6 + ["b"] * 3 + ["a.b", "c\\d", "Größe", "\0", "k" * 150])
TEXTS = st.sampled_from(["", "a", "aa", "a\0", "ÿ", "雪", "1", "true", "x" * 199, "x" * 200]) | (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
)
NUMBERS = st.sampled_from([0.0, -0.0, 1, -1, 1.5, 2**53, -(2**53), 5e-324, -1e308]) | (
    st.floats(allow_nan=False, allow_infinity=False)
)
MOMENT = datetime(2022, 3, 1, 10, 15, tzinfo=UTC)
TIMES = st.sampled_from([MOMENT, MOMENT + timedelta(microseconds=1), MOMENT.replace(year=1969)]) | (
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))
)


@st.composite
def time_texts(draw: st.DrawFn) -> str:
    """RFC 3339 in all its spellings."""
    offset = draw(st.sampled_from([None, timedelta(0), timedelta(hours=5, minutes=30)]))
    if offset is not None:
        offset = draw(st.sampled_from([offset, -offset]))
    moment = draw(TIMES)
    if draw(st.booleans()):
        moment = moment.replace(microsecond=0)
    text = moment.astimezone(timezone(offset or timedelta(0))).isoformat()
    if offset is None:
        text = text.replace("+00:00", "Z")
    if moment.microsecond and draw(st.booleans()):
        # Digits below a microsecond, which are cut off.
        text = re.sub(r"(\.\d+)", r"\g<1>789", text)
    return draw(st.sampled_from([text, text.lower(), text.replace("T", " "), text + "\n"]))


SCALARS = TEXTS | NUMBERS | st.booleans() | time_texts()
VALUES = st.recursive(
    st.none() | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
METADATA = st.dictionaries(KEYS, VALUES, max_size=4)
FIELDS = (KEYS.map(lambda key: [key]) | st.lists(KEYS, min_size=1, max_size=3)).map(join_path)
IMAGE_IDS = st.sampled_from(["a", "a/b", "a/c", "ä", "b", "b\0", "z" * 511])


def _ranges(kind: Any, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    limits = st.dictionaries(
        st.sampled_from(["gte", "gt", "lte", "lt"]), bounds, min_size=1, max_size=3
    )
    return st.builds(lambda field, limits: kind(field, **limits), FIELDS, limits)


LEAVES = (
    st.builds(Match, FIELDS, st.lists(SCALARS, min_size=1, max_size=4).map(tuple))
    | _ranges(NumberRange, NUMBERS.map(float))
    | _ranges(TimeRange, TIMES)
    | st.builds(Exists, FIELDS)
    | st.builds(ImageIdPrefix, st.sampled_from(["", "a", "a/", "ä", "b", "b\0", "zz", "q"]))
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
