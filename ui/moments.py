"""Times as metadata writes them: RFC 3339, ISO without a zone, seconds since 1970, numbers."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ui.metadata_fields import number_in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d.*)?")
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE
)
_SECOND_OF = ((1e8, 1.0), (1e11, 1e3), (1e14, 1e6), (1e17, 1e9))
"""From which size on a number counts seconds, milli-, micro- and nanoseconds since 1970."""
_LAST = 1e20
"""Numbers beyond it are no times."""


class TimeKind(enum.Enum):
    """How a field writes times, which decides how filters can speak of them."""

    INSTANT = "time"
    """RFC 3339 with a zone."""
    NUMBER = "number"
    """Numbers, of seconds since 1970 or of anything else."""
    TEXT = "text"
    """Dates, and times without a zone: no filter can compare them."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: seconds since 1970 for texts, else the number as it is."""

    kind: TimeKind
    value: float


def moment_in(value: Any) -> Moment | None:
    """The time that a value of the metadata names; None for what names none."""
    if not isinstance(value, str):
        number = number_in(value)
        if number is None or abs(number) > _LAST:
            return None
        return Moment(TimeKind.NUMBER, number)
    if not _ISO.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value.upper())
    except ValueError:
        return None
    zoned = read if read.tzinfo else read.replace(tzinfo=UTC)
    kind = TimeKind.INSTANT if _RFC_3339.fullmatch(value) else TimeKind.TEXT
    return Moment(kind, (zoned - _EPOCH).total_seconds())


def units_a_second(numbers: Sequence[float]) -> float | None:
    """How many of the unit of these numbers make a second; None where they are no dates.

    All of them have to be of one size; 1e8 is in 1973.
    """
    low, high = min(numbers), max(numbers)
    found = None
    for least, units in _SECOND_OF:
        if low >= least:
            found = (units, least * 1e3 if least < 1e17 else _LAST)
    return None if found is None or high >= found[1] else found[0]


def date_of(seconds: float) -> datetime:
    """The date of some seconds since 1970, in UTC; raises OverflowError beyond the years 1-9999."""
    return _EPOCH + timedelta(seconds=seconds)


def date_text(seconds: float, step_s: float) -> str:
    """The date as text, as exactly as a step needs it."""
    try:
        text = date_of(seconds).replace(tzinfo=None).isoformat(" ", "seconds")
    except OverflowError:
        return "beyond the calendar"
    return text[: 10 if step_s >= 86_400 else 16 if step_s >= 60 else 19]
