"""Filters as Python builds them: fields, operators, equality."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given

from patchsearch import (
    AllOf,
    AnyOf,
    Exists,
    Field,
    ImageIdPrefix,
    Match,
    Not,
    NumberRange,
    TimeRange,
)
from patchsearch.errors import InvalidArgument
from patchsearch.field_path import join_path, split_path
from patchsearch.filter_check import check_filter
from tests.patchsearch.filter_strategies import keys, paths

NOON = datetime(2022, 3, 1, 12, tzinfo=UTC)
A, B, C, D = (Exists(name) for name in "abcd")


def test_a_field_builds_every_condition() -> None:
    speed, time = Field("speed"), Field("taken.at")
    assert speed.equals("fast") == Match("speed", ("fast",))
    assert speed.equals(NOON) == TimeRange("speed", gte=NOON, lte=NOON)
    assert speed.is_in("a", 2, True) == Match("speed", ("a", 2, True))
    assert speed.between(1, 2.5) == NumberRange("speed", gte=1, lte=2.5)
    assert time.between(NOON, NOON) == TimeRange("taken.at", gte=NOON, lte=NOON)
    assert speed.exists() == Exists("speed")
    assert (speed >= 1) == NumberRange("speed", gte=1)
    assert (speed > 1) == NumberRange("speed", gt=1)
    assert (speed <= 1) == NumberRange("speed", lte=1)
    assert (1 > speed) == NumberRange("speed", lt=1)
    assert (time >= NOON) == TimeRange("taken.at", gte=NOON)
    assert (NOON < time) == TimeRange("taken.at", gt=NOON)


def test_numpy_scalars_stand_for_pythons() -> None:
    found = Field("a").is_in(np.float32(0.5), np.int64(3), np.bool_(True), np.str_("x"))
    assert found == Match("a", (0.5, 3, True, "x"))
    assert [type(value) for value in found.values] == [float, int, bool, str]
    assert (Field("a") > np.float32(0.5)) == NumberRange("a", gt=0.5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Field(""),
        lambda: Field("a..b"),
        lambda: Field("a\\"),
        lambda: Field("a\udc80"),
        lambda: Field("a") > datetime(2022, 3, 1),
        lambda: Field("a").equals(datetime(2022, 3, 1)),
        lambda: Field("a") > np.datetime64("2022-03-01T00:00:00"),
        lambda: Field("a") > "b",
        lambda: Field("a") > True,
        lambda: Field("a") > None,
        lambda: Field("a") > float("nan"),
        lambda: Field("a").between(1, float("inf")),
        lambda: Field("a").between(1, NOON),
        lambda: Field("a").is_in(),
        lambda: Field("a").is_in(["b", "c"]),
        lambda: Field("a").is_in(NOON),
        lambda: Field("a").is_in(*range(1001)),
        lambda: Field("a").equals(None),
        lambda: Field("a").equals(2**53 + 1),
        lambda: Field("a").equals(10**400),
        lambda: Field("a").equals("\udc80"),
    ],
)
def test_what_cannot_be_compared_is_refused_where_it_is_built(build) -> None:
    with pytest.raises(InvalidArgument) as caught:
        build()
    assert caught.value.reason == "FILTER_INVALID"
    assert caught.value.message.isascii()


def test_operators_join_without_nesting_what_is_joined_alike() -> None:
    assert A & B & C & D == AllOf((A, B, C, D))
    assert (A & B) & (C & D) == AllOf((A, B, C, D))
    assert A | B | C == AnyOf((A, B, C))
    assert A & B | C & ~D == AnyOf((AllOf((A, B)), AllOf((C, Not(D)))))
    long = A
    for _ in range(255):
        long = long & B
    check_filter(long)


def test_what_python_would_misread_raises() -> None:
    with pytest.raises(TypeError, match="between"):
        _ = 1 < Field("a") < 5
    with pytest.raises(TypeError, match="&"):
        _ = A and B
    with pytest.raises(TypeError, match="~"):
        _ = not A
    with pytest.raises(TypeError, match="equals"):
        _ = Field("a") == "b"
    with pytest.raises(TypeError, match="equals"):
        _ = Field("a") != "b"
    for other in (True, "b", Field("b")):
        with pytest.raises(TypeError):
            A & other
        with pytest.raises(TypeError):
            A | other
    with pytest.raises(TypeError):
        hash(Field("a"))


def test_equal_filters_are_one_key_and_others_are_not() -> None:
    def other(value: object) -> AllOf:
        return AllOf((Match("a", (value,)), ~ImageIdPrefix("x")))

    keys = {other(1): "number", other(True): "flag", other("1"): "text"}
    assert keys == {other(1.0): "number", other(True): "flag", other("1"): "text"}
    assert Match("a", (0,)) != Match("a", (False,))
    assert Match("a", (1,)) != Exists("a")
    east = timezone(timedelta(hours=1))
    assert (Field("t") > NOON) == (Field("t") > NOON.astimezone(east))
    assert hash(Field("t") > NOON) == hash(Field("t") > NOON.astimezone(east))


def test_a_value_that_is_not_in_a_tuple_is_refused() -> None:
    for filter in (Match("a", "snow"), AllOf(A)):
        with pytest.raises(InvalidArgument, match="tuple"):
            check_filter(filter)


@given(paths)
def test_a_path_is_what_its_keys_join_to(path: str) -> None:
    assert join_path(split_path(path)) == path


@given(keys, keys)
def test_keys_come_back_whatever_is_in_them(outer: str, inner: str) -> None:
    assert split_path(join_path([outer, inner])) == (outer, inner)


def test_dots_and_backslashes_of_keys_are_escaped() -> None:
    assert split_path(r"a.b\.c.d\\") == ("a", "b.c", "d\\")
    assert join_path(("a", "b.c", "d\\")) == r"a.b\.c.d\\"
    assert split_path("a" * 4096) == ("a" * 4096,)


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a\\", "a\\b", "\\\\\\", "\ud800", "a" * 4097]
)
def test_malformed_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        split_path(path)
    assert caught.value.reason == "FILTER_INVALID"
