"""Which strings are times, by RFC 3339, and which instants they are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsearch.filters import AllOf, Exists, Match, Not, TimeRange
from shard_service.filters.times import micros_in, micros_of
from tests.shard_service.filter_store import create, opened, put

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=OFFSETS)


@given(moment=MOMENTS)
def test_every_date_time_is_read_as_python_reads_it(moment: datetime) -> None:
    assert micros_in(moment.isoformat()) == micros_of(moment)
    assert micros_in(moment.isoformat().lower()) == micros_of(moment)


@given(text=st.text("0123456789-:.TtZz+ ", max_size=30) | st.text(max_size=30))
def test_anything_else_is_no_time(text: str) -> None:
    micros = micros_in(text)
    if micros is not None:
        assert micros == micros_of(datetime.fromisoformat(text.upper()))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2022-03-01T10:15:00Z", "2022-03-01T10:15:00+00:00"),
        ("2022-03-01t10:15:00z", "2022-03-01T10:15:00-00:00"),
        ("2022-03-01T10:15:00+01:00", "2022-03-01T09:15:00Z"),
        ("2022-03-01T23:30:00-05:45", "2022-03-02T05:15:00Z"),
        ("2022-03-01T10:15:00.5Z", "2022-03-01T10:15:00.500000Z"),
        ("2022-03-01T10:15:00.000Z", "2022-03-01T10:15:00Z"),
        ("2022-03-01T10:15:00.1234567Z", "2022-03-01T10:15:00.123456Z"),
        ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("1990-12-31T15:59:60.25-08:00", "1991-01-01T00:00:00.25Z"),
    ],
)
def test_spellings_of_the_same_instant(text: str, same: str) -> None:
    assert micros_in(text) == micros_of(datetime.fromisoformat(same))


def test_the_ends_of_the_calendar() -> None:
    year_one = micros_of(datetime(1, 1, 1, tzinfo=UTC))
    day = 86_400_000_000
    assert micros_in("0000-12-31T00:00:00Z") == year_one - day
    # The year 0 is a leap year.
    assert micros_in("0000-01-01T00:00:00Z") == year_one - 366 * day
    assert micros_in("0000-02-29T00:00:00Z") == year_one - 307 * day
    assert micros_in("0001-01-01T00:00:00+01:00") == year_one - day // 24
    end = (date.max.toordinal() - date(1970, 1, 1).toordinal() + 1) * day
    assert micros_in("9999-12-31T23:59:60Z") == end
    assert micros_in("9999-12-31T23:59:59-23:59") == end - 1_000_000 + (day - 60_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2022-03-01",
        "10:15:00Z",
        "2022-03-01T10:15:00",
        "2022-03-01 10:15:00Z",
        "2022-03-01T10:15Z",
        "2022-03-01T10:15:00.Z",
        "2022-03-01T10:15:00,5Z",
        "2022-03-01T10:15:00+0100",
        "2022-03-01T10:15:00+01",
        "2022-03-01T10:15:00+24:00",
        "2022-03-01T10:15:00+01:60",
        "2022-03-01T24:00:00Z",
        "2022-03-01T10:60:00Z",
        "2022-03-01T10:15:61Z",
        "2022-03-01T23:59:60Z",
        "2016-12-31T23:58:60Z",
        "2022-02-29T10:15:00Z",
        "2022-13-01T10:15:00Z",
        "2022-00-01T10:15:00Z",
        "2022-03-00T10:15:00Z",
        "0000-02-30T00:00:00Z",
        " 2022-03-01T10:15:00Z",
        "2022-03-01T10:15:00Z\n",
        "2022-03-01T10:15:00ZZ",
        "+2022-03-01T10:15:00Z",
        "20220301T101500Z",
        "\uff12\uff10\uff12\uff12-03-01T10:15:00Z",
        "\u0662\u0660\u0662\u0662-03-01T10:15:00Z",
    ],
)
def test_what_is_no_date_time(text: str) -> None:
    assert micros_in(text) is None


def test_times_in_metadata(tmp_path: Path) -> None:
    create(tmp_path / "lmdb")
    store = opened(tmp_path / "lmdb")
    texts = [
        "2022-03-01T10:15:00+01:00",
        "2022-03-01T09:15:00.000001Z",
        "2022-03-01T09:15:00",
        ["2020-01-01t00:00:00z", "2024-01-01T00:00:00Z"],
    ]
    store.commit([put(str(at), {"t": text}, patches=1) for at, text in enumerate(texts)])
    moment = datetime(2022, 3, 1, 4, 15, tzinfo=timezone(timedelta(hours=-5)))
    for filter, expected in (
        (TimeRange("t", gte=moment, lte=moment), [0]),
        (TimeRange("t", gt=moment), [1, 3]),
        (TimeRange("t", lt=moment), [3]),
        (
            TimeRange(
                "t", gt=datetime(2021, 1, 1, tzinfo=UTC), lt=datetime(2023, 1, 1, tzinfo=UTC)
            ),
            [0, 1],
        ),
        (Match("t", ("2022-03-01T10:15:00+01:00",)), [0]),
        (Match("t", ("2022-03-01T09:15:00Z",)), []),
        (AllOf((Exists("t"), Not(TimeRange("t", lt=datetime(2025, 1, 1, tzinfo=UTC))))), [2]),
    ):
        assert store.matching(filter)[1].tolist() == expected
    store.close()
