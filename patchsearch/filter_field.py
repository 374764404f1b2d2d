"""Conditions as Python writes them: `Field("speed") >= 10`, `Field("weather").is_in("snow")`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn, TypeAlias

import numpy as np

from patchsearch.field_path import split_path
from patchsearch.filter_check import check_filter, invalid
from patchsearch.filters import Exists, Match, NumberRange, Scalar, TimeRange

Bound: TypeAlias = float | datetime
"""What a field can be compared with: a number, or a time that knows its zone."""


class Field:
    """A field of the metadata, named by its path ("camera.position"); immutable.

    Its methods and `<`, `<=`, `>`, `>=` give conditions. NumPy scalars stand for Python's. Each
    raises InvalidArgument FILTER_INVALID for what cannot be compared, such as a time without a
    zone. `==` raises TypeError: it could not tell the comparison of two fields from a condition.
    """

    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        """Raises InvalidArgument FILTER_INVALID for a malformed path (`field_path.split_path`)."""
        split_path(path)
        self._path = path

    def __repr__(self) -> str:
        return f"Field({self._path!r})"

    def equals(self, value: Scalar | datetime) -> Match | TimeRange:
        """Met when the field holds this value, or this instant."""
        plain = _plain(value)
        if isinstance(plain, datetime):
            return self._times(gte=plain, lte=plain)
        return self._match((plain,))

    def is_in(self, *values: Scalar) -> Match:
        """Met when the field holds one of 1 to 1000 strings, numbers or booleans."""
        return self._match(tuple(_plain(value) for value in values))

    def between(self, low: Bound, high: Bound) -> NumberRange | TimeRange:
        """Met when the field holds one value from `low` to `high`, both included."""
        return self._range(gte=low, lte=high)

    def exists(self) -> Exists:
        """Met when the metadata has the field, whatever it holds but null."""
        return Exists(self._path)

    def __ge__(self, bound: Bound) -> NumberRange | TimeRange:
        return self._range(gte=bound)

    def __gt__(self, bound: Bound) -> NumberRange | TimeRange:
        return self._range(gt=bound)

    def __le__(self, bound: Bound) -> NumberRange | TimeRange:
        return self._range(lte=bound)

    def __lt__(self, bound: Bound) -> NumberRange | TimeRange:
        return self._range(lt=bound)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(f"write {self!r}.equals(...) for a condition; fields have no ==")

    def _match(self, values: tuple[Scalar, ...]) -> Match:
        match = Match(self._path, values)
        check_filter(match)
        return match

    def _range(self, **bounds: Bound) -> NumberRange | TimeRange:
        plain = {name: _plain(bound) for name, bound in bounds.items()}
        times = {name: bound for name, bound in plain.items() if isinstance(bound, datetime)}
        if times and len(times) < len(plain):
            raise invalid(f"{self!r} is bounded by a time and by no time; give two of one kind")
        return self._times(**times) if times else self._numbers(**plain)

    def _numbers(self, **bounds: float) -> NumberRange:
        numbers = NumberRange(self._path, **bounds)
        check_filter(numbers)
        return numbers

    def _times(self, **bounds: datetime) -> TimeRange:
        times = TimeRange(self._path, **bounds)
        check_filter(times)
        return times


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
