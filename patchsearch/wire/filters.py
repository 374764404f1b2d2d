"""Filters <-> their messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from patchsearch.filter_check import (
    check_conditions,
    check_filter,
    check_members,
    check_values,
    invalid,
    shown,
)
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
from patchsearch.v1 import types_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_UP, _DOWN = 999, 0


def filter_to_proto(filter: Filter) -> types_pb2.Filter:
    """Packs a filter; raises what `filter_check.check_filter` raises."""
    check_filter(filter)
    return _packed(filter)


def filter_from_proto(message: types_pb2.Filter) -> Filter:
    """Checks and unpacks a filter; what it gives is hashable, its numbers float, its times UTC.

    Times are compared in whole microseconds, as they are stored; a bound between two of them is
    moved to the one that meets the same times.

    Raises InvalidArgument FILTER_INVALID for a filter without a condition or beyond the limits of
    `filter_check`, for values that are no string, number or boolean, and for times beyond the years
    1 to 9999. A hostile message costs no more than the largest filter that is allowed.
    """
    filter = _Unpacking().filter(message, "filter")
    check_filter(filter)
    return filter


def _packed(filter: Filter) -> types_pb2.Filter:
    match filter:
        case AllOf():
            return types_pb2.Filter(all=_list(filter.filters))
        case AnyOf():
            return types_pb2.Filter(any=_list(filter.filters))
        case Not():
            return types_pb2.Filter(negated=_packed(filter.filter))
        case Match():
            values = [_value(value) for value in filter.values]
            return types_pb2.Filter(match=types_pb2.FieldMatch(field=filter.field, values=values))
        case NumberRange():
            return types_pb2.Filter(
                number_range=types_pb2.NumberRange(
                    field=filter.field,
                    gte=filter.gte,
                    gt=filter.gt,
                    lte=filter.lte,
                    lt=filter.lt,
                )
            )
        case TimeRange():
            return types_pb2.Filter(
                time_range=types_pb2.TimeRange(
                    field=filter.field,
                    gte=_timestamp(filter.gte),
                    gt=_timestamp(filter.gt),
                    lte=_timestamp(filter.lte),
                    lt=_timestamp(filter.lt),
                )
            )
        case Exists():
            return types_pb2.Filter(exists=filter.field)
        case ImageIdPrefix():
            return types_pb2.Filter(image_id_prefix=filter.prefix)


def _list(filters: Sequence[Filter]) -> types_pb2.FilterList:
    return types_pb2.FilterList(filters=[_packed(filter) for filter in filters])


def _value(value: Scalar) -> struct_pb2.Value:
    match value:
        case bool():
            return struct_pb2.Value(bool_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case _:
            return struct_pb2.Value(number_value=value)


def _timestamp(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    if time is None:
        return None
    seconds, microseconds = divmod((time - _EPOCH) // _MICROSECOND, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1000)


class _Unpacking:
    """Counts while it unpacks, so that a message of millions costs no more than the limits allow.

    How deep a message can be, protobuf limits itself.
    """

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, message: types_pb2.Filter, where: str) -> Filter:
        match message.WhichOneof("condition"):
            case "all":
                return AllOf(self._filters(message.all, f"{where}.all"))
            case "any":
                return AnyOf(self._filters(message.any, f"{where}.any"))
            case "negated":
                return Not(self.filter(message.negated, f"{where}.negated"))
            case None:
                raise invalid(
                    f"{where} has no condition; set all, any, negated, match, number_range, "
                    "time_range, exists or image_id_prefix, or leave it out"
                )
            case kind:
                self._conditions += 1
                check_conditions(self._conditions)
                return _leaf(message, kind)

    def _filters(self, message: types_pb2.FilterList, where: str) -> tuple[Filter, ...]:
        check_members(len(message.filters), where)
        return tuple(
            self.filter(member, f"{where}.filters[{position}]")
            for position, member in enumerate(message.filters)
        )


def _leaf(message: types_pb2.Filter, kind: str) -> Filter:
    match kind:
        case "match":
            field = message.match.field
            check_values(len(message.match.values), field)
            return Match(field, tuple(_scalar(value, field) for value in message.match.values))
        case "number_range":
            numbers = message.number_range
            return NumberRange(
                numbers.field,
                gte=_number(numbers, "gte"),
                gt=_number(numbers, "gt"),
                lte=_number(numbers, "lte"),
                lt=_number(numbers, "lt"),
            )
        case "time_range":
            times = message.time_range
            return TimeRange(
                times.field,
                gte=_time(times, times.field, "gte", _UP),
                gt=_time(times, times.field, "gt", _DOWN),
                lte=_time(times, times.field, "lte", _DOWN),
                lt=_time(times, times.field, "lt", _UP),
            )
        case "exists":
            return Exists(message.exists)
        case _:
            return ImageIdPrefix(message.image_id_prefix)


def _scalar(value: struct_pb2.Value, field: str) -> Scalar:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case kind:
            name = "unset" if kind is None else kind.removesuffix("_value")
            raise invalid(
                f"match of field {shown(field)} has a value that is {name}; "
                "give strings, numbers or booleans"
            )


def _number(message: Message, bound: str) -> float | None:
    return float(getattr(message, bound)) if message.HasField(bound) else None


def _time(message: Message, field: str, bound: str, rounding: int) -> datetime | None:
    if not message.HasField(bound):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, bound)
    # In whole microseconds, what is after 5.0000001 s is after 5.000000 s, and what is not before
    # it is not before 5.000001 s.
    microseconds = value.seconds * 1_000_000 + (value.nanos + rounding) // 1000
    if not (0 <= value.nanos < 1_000_000_000 and _FIRST_US <= microseconds <= _LAST_US):
        raise invalid(
            f"{bound} of field {shown(field)} is {value.seconds} s and {value.nanos} ns "
            "from 1970; give a time within the years 1 to 9999, and 0 to 999999999 ns"
        )
    return _EPOCH + microseconds * _MICROSECOND
