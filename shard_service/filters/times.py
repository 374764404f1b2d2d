"""RFC 3339 date-times as numbers that compare as the instants do.

A time is an int64: whole microseconds since 1970-01-01T00:00:00Z. Further digits of a second are
cut off, as `patchsearch.wire.filters` expects when it rounds bounds.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAYS_IN_400_YEARS = 146_097
_SHORTEST = len("0000-00-00T00:00:00Z")

_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def micros_in(text: str) -> int | None:
    """The time that `text` names; None for what is no date-time by RFC 3339, section 5.6.

    A leap second (":60", at the end of a month in UTC alone) is the second that follows it.
    """
    # Most strings are no times, and most of those are found out without the pattern.
    if len(text) < _SHORTEST or text[4] != "-" or text[10] not in "Tt":
        return None
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = found.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        # The calendar repeats every 400 years, and Python has no year 0.
        days = date(year or 400, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    if year == 0:
        days -= _DAYS_IN_400_YEARS
    minutes = days * 1440 + hour * 60 + minute
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            return None
        offset = int(offset_hour) * 60 + int(offset_minute)
        minutes += offset if sign == "-" else -offset
    if second == 60 and not _ends_a_month(minutes):
        return None
    return (minutes * 60 + second) * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))


def micros_of(moment: datetime) -> int:
    """The time of a bound, which must know its zone."""
    return (moment - _EPOCH) // _MICROSECOND


def _ends_a_month(minutes: int) -> bool:
    """Whether this is the last minute of a month, UTC, in minutes since 1970."""
    days, minute = divmod(minutes, 1440)
    if minute != 1439:
        return False
    following = days + 1 + _EPOCH_DAY
    if following < 1:
        following += _DAYS_IN_400_YEARS
    # The only day behind the calendar is the one after 9999-12-31.
    return following > date.max.toordinal() or date.fromordinal(following).day == 1
