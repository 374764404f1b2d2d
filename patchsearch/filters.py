"""Conditions on an image's metadata and id, which limit what a search finds.

    Field("weather").is_in("snow", "rain") & (Field("speed") > 10) & ~ImageIdPrefix("test/")

A field is named by its path, keys joined by dots ("camera.position"); a dot or a backslash within a
key is written behind a backslash. Where the metadata holds a list, each of its elements counts.
What a field does not hold meets no condition but `Not`.

All of them are immutable, hashable, and equal when they say the same in the same order. `&`, `|`
and `~` combine them; `and`, `or` and `not` cannot, and raise TypeError. Limits are checked where a
filter is sent or received (`patchsearch.filter_check`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeAlias, cast

Scalar: TypeAlias = str | float | bool
"""What a field can equal; each equals values of its own type alone."""


class _Condition:
    """Gives conditions their operators."""

    __slots__ = ()

    def __and__(self, other: Filter) -> AllOf:
        if not isinstance(other, _Condition):
            return NotImplemented
        # Flat, so that a chain of any length stays one level deep.
        mine = self.filters if isinstance(self, AllOf) else (cast("Filter", self),)
        return AllOf((*mine, *(other.filters if isinstance(other, AllOf) else (other,))))

    def __or__(self, other: Filter) -> AnyOf:
        if not isinstance(other, _Condition):
            return NotImplemented
        mine = self.filters if isinstance(self, AnyOf) else (cast("Filter", self),)
        return AnyOf((*mine, *(other.filters if isinstance(other, AnyOf) else (other,))))

    def __invert__(self) -> Not:
        return Not(cast("Filter", self))

    def __bool__(self) -> NoReturn:
        # `a and b` and `1 < Field("x") < 5` would otherwise drop a condition without a word.
        raise TypeError(
            "a filter is neither true nor false; combine filters with &, | and ~, "
            "compare with None by `is`, and bound a field on both sides with Field.between"
        )


@dataclass(frozen=True, slots=True)
class AllOf(_Condition):
    """Met when all of `filters` are."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(_Condition):
    """Met when any of `filters` is."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(_Condition):
    """Met when `filter` is not."""

    filter: Filter


@dataclass(frozen=True, slots=True, eq=False)
class Match(_Condition):
    """Met when the field holds one of `values`."""

    field: str
    values: tuple[Scalar, ...]

    # Python holds True and 1 to be equal; a field that holds one does not hold the other.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Match) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, tuple[tuple[bool, Scalar], ...]]:
        return self.field, tuple((isinstance(value, bool), value) for value in self.values)


@dataclass(frozen=True, slots=True)
class NumberRange(_Condition):
    """Met when the field holds a number within the bounds; None: no bound."""

    field: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


@dataclass(frozen=True, slots=True)
class TimeRange(_Condition):
    """Met when the field holds an RFC 3339 date-time within the bounds, which know their zone."""

    field: str
    gte: datetime | None = None
    gt: datetime | None = None
    lte: datetime | None = None
    lt: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exists(_Condition):
    """Met when the metadata has the field, whatever it holds but null."""

    field: str


@dataclass(frozen=True, slots=True)
class ImageIdPrefix(_Condition):
    """Met when the image_id begins with `prefix`."""

    prefix: str


Filter: TypeAlias = AllOf | AnyOf | Not | Match | NumberRange | TimeRange | Exists | ImageIdPrefix
"""A condition on an image."""
