"""patchsearch.wire.filters: what is packed comes back, and nothing malformed gets in."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from patchsearch.errors import InvalidArgument
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
from patchsearch.v1 import types_pb2 as pb
from patchsearch.wire.filters import filter_from_proto, filter_to_proto
from tests.patchsearch.filter_strategies import depth, filters

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
A = pb.Filter(exists="a")


def nested(levels: int) -> Filter:
    """A filter that is so deep, of groups, negations and one condition."""
    filter: Filter = Exists("a")
    for level in range(levels - 1):
        filter = (AllOf((filter,)), Not(filter), AnyOf((filter,)))[level % 3]
    return filter


def joined(message: pb.Filter, times: int) -> pb.Filter:
    return pb.Filter(any={"filters": [message] * times})


def message_nested(levels: int) -> pb.Filter:
    message = A
    for _ in range(levels - 1):
        message = pb.Filter(negated=message)
    return message


@given(filters)
def test_a_filter_comes_back_as_it_was(filter: Filter) -> None:
    assume(depth(filter) <= 16)
    wire = pb.Filter.FromString(filter_to_proto(filter).SerializeToString())
    back = filter_from_proto(wire)
    assert back == filter
    assert hash(back) == hash(filter)


def test_numbers_and_booleans_stay_what_they_are() -> None:
    back = filter_from_proto(filter_to_proto(Match("a", (1, True, "1", 0, False))))
    assert [type(value) for value in back.values] == [float, bool, str, float, bool]


def test_the_largest_filter_goes_through() -> None:
    many = AnyOf(tuple(ImageIdPrefix(f"{n}") for n in range(256)))
    assert filter_from_proto(filter_to_proto(many)) == many
    assert filter_from_proto(filter_to_proto(nested(16))) == nested(16)
    values = Match("a", tuple(range(1000)))
    assert filter_from_proto(filter_to_proto(values)) == values
    prefix = ImageIdPrefix("é" * 255 + "x")
    assert filter_from_proto(filter_to_proto(prefix)) == prefix


def match(*values: dict[str, object]) -> pb.Filter:
    return pb.Filter(match={"field": "a", "values": list(values)})


def number_range(**bounds: float) -> pb.Filter:
    return pb.Filter(number_range={"field": "a", **bounds})


def time_range(**bounds: tuple[int, int]) -> pb.Filter:
    return pb.Filter(
        time_range={
            "field": "a",
            **{name: {"seconds": s, "nanos": n} for name, (s, n) in bounds.items()},
        }
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (pb.Filter(), "filter has no condition"),
        (pb.Filter(negated=pb.Filter()), "filter.negated has no condition"),
        (pb.Filter(all={"filters": [A, pb.Filter()]}), r"filter.all.filters\[1\] has no condition"),
        (pb.Filter(all={}), "filter.all has no conditions"),
        (pb.Filter(negated=pb.Filter(any={})), "filter.negated.any has no conditions"),
        (pb.Filter(any={"filters": [A] * 257}), "more than 256"),
        (pb.Filter(any={"filters": [pb.Filter(all={"filters": [A] * 52})] * 5}), "more than 256"),
        (message_nested(17), "more than 16 deep"),
        (match(), "has 0 values"),
        (match(*[{"number_value": 1}] * 1001), "has 1001 values"),
        (match({"null_value": 0}), "value that is null"),
        (match({"list_value": {}}), "value that is list"),
        (match({"struct_value": {}}), "value that is struct"),
        (match({}), "value that is unset"),
        (match({"number_value": float("nan")}), "NaN"),
        (match({"number_value": float("inf")}), "infinite"),
        (number_range(), "no bound"),
        (number_range(gt=float("nan")), "NaN"),
        (number_range(gte=1, lt=float("-inf")), "infinite"),
        (time_range(), "no bound"),
        (time_range(gt=(-62135596801, 0)), "years 1 to 9999"),
        (time_range(lt=(253402300800, 0)), "years 1 to 9999"),
        (time_range(lt=(253402300799, 999_999_999)), "years 1 to 9999"),
        (time_range(lt=(2**62, 0)), "years 1 to 9999"),
        (time_range(gt=(0, -1)), "999999999 ns"),
        (time_range(gt=(0, 1_000_000_000)), "999999999 ns"),
        (pb.Filter(exists=""), "is empty"),
        (pb.Filter(exists="a."), "empty key"),
        (pb.Filter(exists="a\\"), "backslash"),
        (pb.Filter(exists="a\\b"), "backslash"),
        (pb.Filter(match={"field": "", "values": [{"bool_value": True}]}), "is empty"),
        (pb.Filter(number_range={"gt": 1}), "is empty"),
        (pb.Filter(time_range={"gt": {}}), "is empty"),
        (pb.Filter(image_id_prefix="x" * 512), "512 bytes"),
        (pb.Filter(image_id_prefix="é" * 256), "512 bytes"),
    ],
)
def test_what_is_malformed_is_refused(message: pb.Filter, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        filter_from_proto(message)
    assert caught.value.reason == "FILTER_INVALID"


@pytest.mark.parametrize(
    "message",
    [
        pb.Filter(exists="a." * 500_000 + "a"),
        pb.Filter(match={"field": "é" * 500_000}),
        pb.Filter(any={"filters": [A] * 500_000}),
        joined(joined(joined(A, 100), 100), 50),
        match(*[{"number_value": 1}] * 500_000),
    ],
)
def test_a_hostile_filter_is_refused_quickly_and_briefly(message: pb.Filter) -> None:
    began = time.process_time()
    with pytest.raises(InvalidArgument) as caught:
        filter_from_proto(message)
    assert time.process_time() - began < 0.05
    # It travels in a header.
    assert len(caught.value.message) < 400 and caught.value.message.isascii()


def test_the_last_microsecond_is_a_time() -> None:
    filter = TimeRange("a", lte=datetime.max.replace(tzinfo=UTC))
    assert filter_from_proto(filter_to_proto(filter)) == filter
    assert filter_from_proto(time_range(lte=(253402300799, 999_999_999))) == filter


@given(st.integers(0, 10_000), st.integers(0, 10))
def test_a_bound_between_two_microseconds_keeps_its_meaning(nanos: int, stored_us: int) -> None:
    filter = filter_from_proto(
        time_range(gte=(5, nanos), gt=(5, nanos), lte=(5, nanos), lt=(5, nanos))
    )
    stored = EPOCH + timedelta(seconds=5, microseconds=stored_us)
    exact = stored_us * 1000
    assert (stored >= filter.gte) == (exact >= nanos)
    assert (stored > filter.gt) == (exact > nanos)
    assert (stored <= filter.lte) == (exact <= nanos)
    assert (stored < filter.lt) == (exact < nanos)


WEST = timezone(timedelta(hours=-1))


@pytest.mark.parametrize(
    "filter",
    [
        nested(17),
        nested(5000),
        AllOf(()),
        AnyOf(()),
        AnyOf((Exists("a"),) * 257),
        AnyOf((AllOf((Exists("a"), Not(Exists("b")))),) * 129),
        Match("a", ()),
        Match("a", (None,)),
        Match("a", ([1],)),
        Match("a", (b"x",)),
        Match("a", (2**53 + 1,)),
        Match("a", (10**400,)),
        NumberRange("a"),
        NumberRange("a", gt=True),
        NumberRange("a", gt="1"),
        NumberRange("a", gt=datetime.now(UTC)),
        TimeRange("a"),
        TimeRange("a", gt=datetime(2022, 3, 1)),
        TimeRange("a", gt=3),
        TimeRange("a", gt=datetime.max.replace(tzinfo=WEST)),
        Exists(3),
        ImageIdPrefix(b"x"),
        ImageIdPrefix("\udc80"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is(filter: Filter) -> None:
    with pytest.raises(InvalidArgument) as caught:
        filter_to_proto(filter)
    assert caught.value.reason == "FILTER_INVALID"


def test_what_is_no_filter_is_a_type_error() -> None:
    for value in ("a", None, Not("a")):
        with pytest.raises(TypeError, match="no filter"):
            filter_to_proto(value)
