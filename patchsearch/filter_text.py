"""Filters as text, for command lines and notebooks.

    weather = "snow" and (speed >= 10 or not tags in ("night", "rain"))
    2022-03-01T00:00:00Z <= time < 2022-04-01T00:00:00Z and image_id startswith "drive-7/"

    filter  = term { "or" term }
    term    = factor { "and" factor }
    factor  = "not" factor | "(" filter ")" | "exists" field | "image_id" "startswith" string
            | field ("=" | "==" | "!=") value | field ["not"] "in" "(" value { "," value } ")"
            | field order bound | bound order field [order bound]
    order   = "<" | "<=" | ">" | ">="
    bound   = number | time
    value   = string | number | "true" | "false" | time

A field is its path; a key that is no word (letters, digits, _ and -, first a letter) is written in
quotes: camera."serial.no". Strings are in double or single quotes with JSON's escapes; times are
RFC 3339 with a zone, and cannot be listed after `in`. `1 <= speed < 5` asks for one value within
both bounds; joined by `and`, two elements of a list may meet one bound each.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from patchsearch.field_path import split_path
from patchsearch.filter_check import check_filter
from patchsearch.filter_parser import FilterParser
from patchsearch.filter_tokens import field_text, string_text
from patchsearch.filters import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    Scalar,
    TimeRange,
)


def parse_filter(text: str) -> Filter:
    """The filter that a text writes.

    Raises InvalidArgument FILTER_INVALID that says at which character, counted from 1, what was
    expected; and what `filter_check.check_filter` raises.
    """
    filter = FilterParser(text).parse()
    check_filter(filter)
    return filter


def format_filter(filter: Filter) -> str:
    """A text that `parse_filter` makes a filter of the same meaning.

    It makes the same filter, unless a group holds one filter alone (it is written as what it holds)
    or a range has two bounds on one side (it is written with the narrower one). Raises what
    `filter_check.check_filter` raises.
    """
    check_filter(filter)
    return _text(_simplest(filter))


def _text(filter: Filter) -> str:
    match filter:
        case AllOf():
            return " and ".join(_member(member) for member in filter.filters)
        case AnyOf():
            return " or ".join(_member(member) for member in filter.filters)
        case Not():
            return _negated(_simplest(filter.filter))
        case Match(field, (value,)):
            return f"{_field(field)} = {_scalar(value)}"
        case Match():
            return f"{_field(filter.field)} in {_listed(filter)}"
        case TimeRange() if _is_instant(filter):
            return f"{_field(filter.field)} = {_bound(filter.gte)}"
        case NumberRange() | TimeRange():
            return _range(filter)
        case Exists():
            return f"exists {_field(filter.field)}"
        case ImageIdPrefix():
            return f"image_id startswith {string_text(filter.prefix)}"


def _simplest(filter: Filter) -> Filter:
    """The same condition without groups of one around it, and with one bound a side."""
    while isinstance(filter, (AllOf, AnyOf)) and len(filter.filters) == 1:
        filter = filter.filters[0]
    if not isinstance(filter, (NumberRange, TimeRange)):
        return filter
    gte: Any = filter.gte
    lte: Any = filter.lte
    if gte is not None and filter.gt is not None:
        filter = replace(filter, gte=None) if filter.gt >= gte else replace(filter, gt=None)
    if lte is not None and filter.lt is not None:
        filter = replace(filter, lte=None) if filter.lt <= lte else replace(filter, lt=None)
    return filter


def _member(filter: Filter) -> str:
    inner = _simplest(filter)
    text = _text(inner)
    return f"({text})" if isinstance(inner, (AllOf, AnyOf)) else text


def _negated(filter: Filter) -> str:
    match filter:
        case Match(field, (value,)):
            return f"{_field(field)} != {_scalar(value)}"
        case Match():
            return f"{_field(filter.field)} not in {_listed(filter)}"
        case TimeRange() if _is_instant(filter):
            return f"{_field(filter.field)} != {_bound(filter.gte)}"
        case _:
            return f"not {_member(filter)}"


def _is_instant(times: TimeRange) -> bool:
    return times.gte is not None and times == TimeRange(times.field, gte=times.gte, lte=times.gte)


def _range(filter: NumberRange | TimeRange) -> str:
    field = _field(filter.field)
    low, above = (filter.gte, "<=") if filter.gt is None else (filter.gt, "<")
    high, below = (filter.lte, "<=") if filter.lt is None else (filter.lt, "<")
    if low is None:
        return f"{field} {below} {_bound(high)}"
    if high is None:
        return f"{field} {above.replace('<', '>')} {_bound(low)}"
    return f"{_bound(low)} {above} {field} {below} {_bound(high)}"


def _field(path: str) -> str:
    return field_text(split_path(path))


def _listed(match: Match) -> str:
    return f"({', '.join(_scalar(value) for value in match.values)})"


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return string_text(value) if isinstance(value, str) else _number(value)


def _bound(bound: float | datetime | None) -> str:
    if isinstance(bound, datetime):
        return bound.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return "" if bound is None else _number(bound)


def _number(value: float) -> str:
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
    return str(int(value)) if whole else repr(float(value))
