"""What a filter may be: the limits that hold wherever one is built, sent or received.

Pure functions; each raises InvalidArgument FILTER_INVALID with what happened, limit and remedy.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from patchsearch.errors import InvalidArgument
from patchsearch.field_path import split_path
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

MAX_CONDITIONS = 256
"""Matches, ranges, exists and prefixes in one filter; what joins them does not count."""
MAX_DEPTH = 16
"""Conditions within conditions: a lone match is 1 deep, what joins or negates it is 2."""
MAX_VALUES = 1000
"""Values of one match."""
MAX_PREFIX_BYTES = 511
"""Longest image id."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LAST = datetime.max.replace(tzinfo=UTC) - _EPOCH
_SHOWN = 60


def check_filter(filter: Filter) -> None:
    """Checks all of a filter; raises InvalidArgument FILTER_INVALID, TypeError for what is none."""
    conditions = 0
    left: list[tuple[Filter, int]] = [(filter, 1)]
    while left:
        condition, depth = left.pop()
        check_depth(depth)
        match condition:
            case AllOf() | AnyOf():
                _check_sequence(condition.filters, type(condition).__name__)
                check_members(len(condition.filters), type(condition).__name__)
                left += [(member, depth + 1) for member in condition.filters]
            case Not():
                left.append((condition.filter, depth + 1))
            case _:
                conditions += 1
                check_conditions(conditions)
                _check_leaf(condition)


def check_depth(depth: int) -> None:
    """Refuses what is nested more than `MAX_DEPTH` deep."""
    if depth > MAX_DEPTH:
        raise invalid(
            f"the filter is nested more than {MAX_DEPTH} deep; join conditions side by side"
        )


def check_conditions(count: int) -> None:
    """Refuses more than `MAX_CONDITIONS`."""
    if count > MAX_CONDITIONS:
        raise invalid(
            f"the filter has more than {MAX_CONDITIONS} conditions; give several values to one "
            "match, or search in parts"
        )


def check_members(count: int, what: str) -> None:
    """Refuses a group of no conditions, or of more than `MAX_CONDITIONS`."""
    if count == 0:
        raise invalid(f"{what} has no conditions; give it one or more, or leave it out")
    check_conditions(count)


def check_values(count: int, field: str) -> None:
    """Refuses a match of no values, or of more than `MAX_VALUES`."""
    if not 1 <= count <= MAX_VALUES:
        raise invalid(f"match of field {shown(field)} has {count} values; give 1 to {MAX_VALUES}")


def shown(text: str) -> str:
    """The text for a message: quoted, ASCII, its beginning alone where it is long."""
    # An error travels in a header of a few KiB, a filter's texts may be of any length.
    return ascii(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def invalid(message: str) -> InvalidArgument:
    """The error of a filter that cannot be used."""
    return InvalidArgument("FILTER_INVALID", message)


def _check_leaf(condition: Match | NumberRange | TimeRange | Exists | ImageIdPrefix) -> None:
    match condition:
        case ImageIdPrefix():
            _check_prefix(condition.prefix)
        case Exists():
            _check_field(condition.field)
        case Match():
            _check_field(condition.field)
            _check_sequence(condition.values, f"match of field {shown(condition.field)}")
            check_values(len(condition.values), condition.field)
            for value in condition.values:
                _check_value(value, condition.field)
        case NumberRange() | TimeRange():
            _check_field(condition.field)
            bounds = (condition.gte, condition.gt, condition.lte, condition.lt)
            if all(bound is None for bound in bounds):
                raise invalid(
                    f"range of field {shown(condition.field)} has no bound; "
                    "set gte, gt, lte or lt, or ask whether the field exists"
                )
            for bound in bounds:
                if bound is None:
                    continue
                if isinstance(condition, TimeRange):
                    _check_time(bound, condition.field)
                else:
                    _check_number(bound, f"bound of field {shown(condition.field)}")
        case _:
            raise TypeError(f"{type(condition).__name__} is no filter")


def _check_field(field: object) -> None:
    if not isinstance(field, str):
        raise invalid(f"a field is named by {type(field).__name__}; name it by its path, a str")
    split_path(field)


def _check_sequence(members: object, what: str) -> None:
    if not isinstance(members, (tuple, list)):
        raise invalid(f"{what} is given one {type(members).__name__}; give it a tuple")


def _check_prefix(prefix: object) -> None:
    if not isinstance(prefix, str):
        raise invalid(f"image_id prefix is of type {type(prefix).__name__}; give a str")
    _check_unicode(prefix, "image_id prefix")
    size = len(prefix.encode())
    if size > MAX_PREFIX_BYTES:
        raise invalid(f"image_id prefix is {size} bytes; an id has at most {MAX_PREFIX_BYTES}")


def _check_value(value: object, field: str) -> None:
    match value:
        case str():
            _check_unicode(value, f"value of field {shown(field)}")
        case bool():
            pass
        case int() | float():
            _check_number(value, f"value of field {shown(field)}")
        case datetime():
            raise invalid(
                f"match of field {shown(field)} has a time; compare times with a TimeRange"
            )
        case _:
            raise invalid(
                f"match of field {shown(field)} has a value of type {type(value).__name__}; "
                "give strings, numbers or booleans"
            )


def _check_unicode(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(
            f"{what} {shown(text)} is not valid Unicode; leave lone surrogates out"
        ) from None


def _check_number(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(f"{what} is of type {type(value).__name__}; give a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise invalid(f"{what} is NaN, infinite or beyond binary64; give a finite number")
    if number != value:
        raise invalid(
            f"{what} is {value}, which would be rounded to {number:.17g}; "
            "numbers are stored and compared as binary64"
        )


def _check_time(value: object, field: str) -> None:
    if not isinstance(value, datetime):
        raise invalid(
            f"bound of field {shown(field)} is of type {type(value).__name__}; give a datetime"
        )
    if value.utcoffset() is None:
        raise invalid(
            f"bound of field {shown(field)} is {value.isoformat()}, of no time zone; "
            "give it one, such as tzinfo=datetime.UTC"
        )
    if not _FIRST <= value - _EPOCH <= _LAST:
        raise invalid(
            f"bound of field {shown(field)} is {value.isoformat()}; "
            "give a time within the years 1 to 9999 in UTC"
        )
