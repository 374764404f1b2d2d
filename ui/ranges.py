"""Ranges of one metadata field as a part of a search's filter."""

from __future__ import annotations

from dataclasses import replace

from patchsearch.errors import InvalidArgument, PatchsearchError
from patchsearch.filter_text import format_filter
from patchsearch.filters import AllOf, Filter, NumberRange, TimeRange
from patchsearch.query import as_filter
from ui.moments import TimeKind, date_of, moment_in
from ui.query_url import DeskQuery

Range = NumberRange | TimeRange


def range_of(field: str, kind: TimeKind, low: float, high: float) -> Range | None:
    """From `low` to below `high`, seconds since 1970 for instants; None where no filter says so."""
    if kind is TimeKind.NUMBER:
        return NumberRange(field, gte=low, lt=high)
    if kind is TimeKind.TEXT:
        return None
    try:
        return TimeRange(field, gte=date_of(low), lt=date_of(high))
    except OverflowError:
        return None


def read_range(field: str, low: str, high: str) -> Range:
    """The range between two bounds as they are written in a form, numbers or RFC 3339 both.

    Raises InvalidArgument RANGE_INVALID.
    """
    times = [moment_in(text) for text in (low, high)]
    if all(time is not None and time.kind is TimeKind.INSTANT for time in times):
        first, last = (time.value for time in times if time is not None)
        found = range_of(field, TimeKind.INSTANT, first, last)
    else:
        try:
            first, last = float(low), float(high)
        except ValueError as error:
            raise InvalidArgument(
                "RANGE_INVALID", "a range is two numbers, or two times such as 2022-03-01T00:00:00Z"
            ) from error
        found = range_of(field, TimeKind.NUMBER, first, last)
    if found is None or not first < last:
        raise InvalidArgument("RANGE_INVALID", "the range is empty; let it end after it begins")
    return found


def narrowed(query: DeskQuery, condition: Range) -> DeskQuery:
    """The search within a range, in place of other ranges of that field that it was limited to.

    Raises InvalidArgument FILTER_INVALID.
    """
    others = _without(query, condition.field)
    whole = condition if others is None else others & condition
    return replace(query, filter=format_filter(whole))


def narrowed_url(query: DeskQuery, condition: Range | None) -> str:
    """Its address; "" where no filter can say so."""
    if condition is None:
        return ""
    try:
        return narrowed(query, condition).url
    except PatchsearchError:
        return ""


def widened_url(query: DeskQuery, field: str) -> str:
    """The address of the search without ranges of a field; "" where it has none."""
    if not query.filter:
        return ""
    others = _without(query, field)
    if others == as_filter(query.filter):
        return ""
    return replace(query, filter="" if others is None else format_filter(others)).url


def _without(query: DeskQuery, field: str) -> Filter | None:
    if not query.filter:
        return None
    whole = as_filter(query.filter)
    parts = whole.filters if isinstance(whole, AllOf) else (whole,)
    kept = tuple(p for p in parts if not (isinstance(p, Range) and p.field == field))
    if not kept:
        return None
    return kept[0] if len(kept) == 1 else AllOf(kept)
