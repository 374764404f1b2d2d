"""The text form of filters: what it means, what it refuses and how it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from patchsearch import format_filter, parse_filter
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
from tests.patchsearch.filter_strategies import depth, filters

MARCH = datetime(2022, 3, 1, tzinfo=UTC)
A, B, C = (Match(name, (1,)) for name in "abc")


def plain(filter: Filter) -> Filter:
    """The same without groups of one, and with one bound a side: the narrower."""
    match filter:
        case AllOf((one,)) | AnyOf((one,)):
            return plain(one)
        case AllOf(members) | AnyOf(members):
            return type(filter)(tuple(plain(member) for member in members))
        case Not(inner):
            return Not(plain(inner))
        case NumberRange(field, gte, gt, lte, lt) | TimeRange(field, gte, gt, lte, lt):
            if gte is not None and gt is not None:
                gte, gt = (gte, None) if gte > gt else (None, gt)
            if lte is not None and lt is not None:
                lte, lt = (lte, None) if lte < lt else (None, lt)
            return type(filter)(field, gte, gt, lte, lt)
        case _:
            return filter


@given(filters)
def test_what_is_written_reads_as_the_same_filter(filter: Filter) -> None:
    assume(depth(filter) <= 16)
    text = format_filter(filter)
    assert parse_filter(text) == plain(filter)
    assert format_filter(parse_filter(text)) == text


@given(st.text(st.sampled_from("ab .\\\"'()=<>!,-0129TZ:\nandornotinexists"), max_size=40))
def test_any_other_text_is_a_filter_or_refused(text: str) -> None:
    try:
        filter = parse_filter(text)
    except InvalidArgument as error:
        assert error.reason == "FILTER_INVALID"
    else:
        assert parse_filter(format_filter(filter)) == filter


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ('weather = "snow"', Match("weather", ("snow",))),
        ("weather == 'snow'", Match("weather", ("snow",))),
        ('weather != "snow"', Not(Match("weather", ("snow",)))),
        ("wet = true", Match("wet", (True,))),
        ("wet=false", Match("wet", (False,))),
        ("n = -1.5e2", Match("n", (-150,))),
        ('tags in ("night", 3, true)', Match("tags", ("night", 3, True))),
        ('tags not in ("night")', Not(Match("tags", ("night",)))),
        ("speed>=10", NumberRange("speed", gte=10)),
        ("10 > speed", NumberRange("speed", lt=10)),
        ("10 >= speed", NumberRange("speed", lte=10)),
        ("10 <= speed", NumberRange("speed", gte=10)),
        ("1 <= speed < 5", NumberRange("speed", gte=1, lt=5)),
        ("5 > speed >= 1", NumberRange("speed", gte=1, lt=5)),
        ("time >= 2022-03-01T00:00:00Z", TimeRange("time", gte=MARCH)),
        ("time = 2022-03-01T01:00:00+01:00", TimeRange("time", gte=MARCH, lte=MARCH)),
        (
            "2022-03-01t00:00:00.5z < t <= 2022-03-01T00:00:00.000001-00:30",
            TimeRange(
                "t",
                gt=MARCH + timedelta(seconds=0.5),
                lte=MARCH + timedelta(minutes=30, microseconds=1),
            ),
        ),
        ("exists camera.position", Exists("camera.position")),
        ('image_id startswith "drive-7/"', ImageIdPrefix("drive-7/")),
        ('image_id startswith ""', ImageIdPrefix("")),
        ('"image_id" = "x"', Match("image_id", ("x",))),
        ("'and'.or = 1", Match("and.or", (1,))),
        ('camera."serial.no" = 1', Match("camera.serial\\.no", (1,))),
        ("camera.serial\\.no = 1", Match("camera.serial\\.no", (1,))),
        ('"a\\\\b" = 1', Match("a\\\\b", (1,))),
        ("größe-2.7 = 1", Match("größe-2.7", (1,))),
        (r'a = "\"\n\u00e9\ud83d\ude00é"', Match("a", ('"\né😀é',))),
        (r"""a = 'it\'s "so"'""", Match("a", ('it\'s "so"',))),
        ("a = 1 or b = 1 and c = 1", AnyOf((A, AllOf((B, C))))),
        ("(a = 1 or b = 1) and c = 1", AllOf((AnyOf((A, B)), C))),
        ("(a = 1 and b = 1) and c = 1", AllOf((AllOf((A, B)), C))),
        ("not a = 1 and b = 1", AllOf((Not(A), B))),
        ("not (a = 1 and b = 1)", Not(AllOf((A, B)))),
        ("not not a = 1", Not(Not(A))),
        (" ( (\n a = 1 ) ) ", A),
        (
            'weather = "snow" and (speed >= 10 or not tags in ("night", "rain"))'
            " and time >= 2022-03-01T00:00:00Z and exists camera.position"
            ' and image_id startswith "drive-7/"',
            AllOf(
                (
                    Match("weather", ("snow",)),
                    AnyOf((NumberRange("speed", gte=10), Not(Match("tags", ("night", "rain"))))),
                    TimeRange("time", gte=MARCH),
                    Exists("camera.position"),
                    ImageIdPrefix("drive-7/"),
                )
            ),
        ),
    ],
)
def test_what_a_text_means(text: str, filter: Filter) -> None:
    assert parse_filter(text) == filter
    assert parse_filter(format_filter(filter)) == filter


@pytest.mark.parametrize(
    ("filter", "text"),
    [
        (Not(Match("a", ("x",))), 'a != "x"'),
        (Not(Match("a", (1.0, False))), "a not in (1, false)"),
        (Not(Exists("a")), "not exists a"),
        (NumberRange("a", gt=1, lte=2.5), "1 < a <= 2.5"),
        (NumberRange("a", gte=1, gt=1, lte=3, lt=2), "1 < a < 2"),
        (
            TimeRange("t", lt=datetime(2022, 3, 1, tzinfo=timezone(timedelta(hours=-1)))),
            "t < 2022-03-01T01:00:00Z",
        ),
        (AnyOf((AllOf((A, B)), AllOf((C,)))), "(a = 1 and b = 1) or c = 1"),
        (Not(AllOf((AnyOf((A, B)),))), "not (a = 1 or b = 1)"),
        (Not(AllOf((A,))), "a != 1"),
        (TimeRange("t", gte=MARCH, gt=MARCH - timedelta(1), lte=MARCH), "t = 2022-03-01T00:00:00Z"),
        (AnyOf((AllOf((A, B)),)), "a = 1 and b = 1"),
        (Match("and.in\\.x", (1,)), 'and."in.x" = 1'),
    ],
)
def test_how_a_filter_is_written(filter: Filter, text: str) -> None:
    assert format_filter(filter) == text


@pytest.mark.parametrize(
    ("text", "character", "says"),
    [
        ("", 1, "found the end, expected a field"),
        ("a", 2, '"in"'),
        ("a = snow", 5, "a string in quotes"),
        ("a = 1 AND b = 1", 7, 'expected "and", "or" or the end'),
        ("a = 1 b = 1", 7, 'expected "and", "or" or the end'),
        ('a = "x', 5, "close its quotes"),
        ('a = "\\q"', 5, "bad escape"),
        ("a = 2022-03-01", 5, "2022-03-01T10:15:00Z"),
        ("a = 2022-03-01T00:00:00", 5, "zone"),
        ("a > 2022-02-30T00:00:00Z", 5, "no time"),
        ("a > 2022-02-20T24:00:00Z", 5, "no time"),
        ("a > 2022-02-20T00:00:00.1234567Z", 5, "microsecond"),
        ('image_id = "x"', 10, "startswith"),
        ("image_id startswith x", 21, "a string in quotes"),
        ('a startswith "x"', 3, "image_id alone"),
        ("a in ()", 7, "a string in quotes"),
        ("a in (1, 2", 11, '"," or ")"'),
        ("a not = 1", 7, '"in"'),
        ("(a = 1", 7, '")"'),
        ("a = 1)", 6, "the end"),
        ("1 < a > 2", 7, "on one side"),
        ("1 < a < 2022-03-01T00:00:00Z", 7, "one a number"),
        ("1 = a", 3, '"<", "<="'),
        ('a > "x"', 5, "a number, or a time"),
        ("a > true", 5, "a number, or a time"),
        ("a in (2022-03-01T00:00:00Z)", 7, "a number, true or false"),
        ("drive-7/ = 3", 8, "odd names in quotes"),
        ("a = 1 and or", 11, "expected a field"),
        ("exists", 7, "the field that is to exist"),
        ("and = 1", 1, "expected a field"),
        ('"a" "b"', 5, 'expected "="'),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, character: int, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text)
    assert caught.value.reason == "FILTER_INVALID"
    assert caught.value.message.startswith(f"filter, character {character}: ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "not " * 100_000 + "a = 1",
        "a = " + "9" * 100_000,
        "a = 1" + " or a = 1" * 256,
        "a in (" + "1, " * 1000 + "1)",
        "a = 1e999",
        "a." * 100_000 + "a = ",
        "a = '" + "\\" * 100_000,
        'a = "\\ud800"',
        '"" = 1',
        f'image_id startswith "{"x" * 512}"',
    ],
)
def test_limits_hold_for_texts_too(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text)
    assert caught.value.reason == "FILTER_INVALID"
    assert len(caught.value.message) < 400
