"""Which images meet a condition, as of one read transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from patchsearch.errors import DataLoss
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
from shard_service.filters import terms
from shard_service.filters.bitmaps import from_sequences, read_term, to_sequences
from shard_service.filters.columns import Condition, read_column
from shard_service.filters.times import micros_of
from shard_service.store.databases import Databases
from shard_service.store.records import stored_rows

# What conditions cost beside the reading of one term: the order in which they are read, no more.
_COLUMN_COST = 50
_PREFIX_COST = 5000


def matching(
    txn: lmdb.Transaction[bytes], databases: Databases, filter: Filter
) -> NDArray[np.int64]:
    """The first sequences of the images that meet `filter`: (n,) ascending, read-only.

    `filter` is one that `patchsearch.filter_check.check_filter` lets pass. Images without patches
    are not among them. Sequences of images that are gone may be, after damage: intersect with live
    rows. Raises FiltersDamaged when a value that was to be read fails its checksum.
    """
    matches = to_sequences(_Reading(txn, databases).matches(filter))
    matches.flags.writeable = False
    return matches


class _Reading:
    def __init__(self, txn: lmdb.Transaction[bytes], databases: Databases) -> None:
        self._txn = txn
        self._databases = databases

    def matches(self, filter: Filter) -> BitMap64:
        match filter:
            case AllOf():
                return self._all(filter.filters)
            case AnyOf():
                return self._union([self.matches(part) for part in filter.filters])
            case Not():
                return self._term(terms.EVERY_IMAGE) - self.matches(filter.filter)
            case Match():
                return self._match(filter)
            case NumberRange():
                column = terms.number_column(split_path(filter.field))
                bounds = (filter.gte, filter.gt, filter.lte, filter.lt)
                return self._column(column, _within(*bounds))
            case TimeRange():
                column = terms.time_column(split_path(filter.field))
                times = (filter.gte, filter.gt, filter.lte, filter.lt)
                micros = (None if time is None else micros_of(time) for time in times)
                return self._column(column, _within(*micros))
            case Exists():
                return self._term(terms.exists_term(split_path(filter.field)))
            case ImageIdPrefix():
                return self._prefix(filter.prefix.encode("utf-8"))

    def _all(self, filters: Sequence[Filter]) -> BitMap64:
        """Cheap conditions first, and none that can change nothing any more."""
        wanted = sorted((part for part in filters if not isinstance(part, Not)), key=_cost)
        unwanted = sorted((part.filter for part in filters if isinstance(part, Not)), key=_cost)
        met = self.matches(wanted[0]) if wanted else self._term(terms.EVERY_IMAGE)
        for more in wanted[1:]:
            if not met:
                return met
            met &= self.matches(more)
        for fewer in unwanted:
            if not met:
                return met
            met -= self.matches(fewer)
        return met

    def _match(self, match: Match) -> BitMap64:
        path = split_path(match.field)
        numbers = []
        parts = []
        for value in match.values:
            if isinstance(value, str):
                parts.append(self._term(terms.text_term(path, value)))
            elif isinstance(value, bool):
                parts.append(self._term(terms.flag_term(path, value)))
            else:
                numbers.append(float(value))
        if numbers:
            parts.append(self._column(terms.number_column(path), _equal(numbers)))
        return self._union(parts)

    def _prefix(self, prefix: bytes) -> BitMap64:
        sequences = []
        with self._txn.cursor(db=self._databases.images) as cursor:
            if cursor.set_range(prefix) if prefix else cursor.first():
                for key, record in cursor:
                    if not key.startswith(prefix):
                        break
                    try:
                        first_sequence, patch_count = stored_rows(key, record)
                    except DataLoss:
                        # Such an image is not searched.
                        continue
                    if patch_count:
                        sequences.append(first_sequence)
        return from_sequences(np.array(sequences, np.int64))

    def _term(self, term: bytes) -> BitMap64:
        return read_term(self._txn, self._databases.filters, term)

    def _column(self, column: bytes, condition: Condition) -> BitMap64:
        return from_sequences(read_column(self._txn, self._databases.filters, column, condition))

    @staticmethod
    def _union(parts: Sequence[BitMap64]) -> BitMap64:
        return BitMap64.union(*parts) if parts else BitMap64()


def _cost(filter: Filter) -> int:
    match filter:
        case AllOf() | AnyOf():
            return sum(map(_cost, filter.filters))
        case Not():
            return 1 + _cost(filter.filter)
        case Match():
            texts = sum(isinstance(value, (str, bool)) for value in filter.values)
            return texts + _COLUMN_COST * (texts < len(filter.values))
        case Exists():
            return 1
        case ImageIdPrefix():
            return _PREFIX_COST
        case _:
            return _COLUMN_COST


def _within(gte: float | None, gt: float | None, lte: float | None, lt: float | None) -> Condition:
    bounds: list[tuple[Callable[..., NDArray[np.bool_]], float]] = [
        (compare, bound)
        for compare, bound in (
            (np.greater_equal, gte),
            (np.greater, gt),
            (np.less_equal, lte),
            (np.less, lt),
        )
        if bound is not None
    ]

    def met(values: NDArray[Any]) -> NDArray[np.bool_]:
        passed = np.ones(len(values), np.bool_)
        for compare, bound in bounds:
            passed &= compare(values, bound)
        return passed

    return met


def _equal(numbers: Sequence[float]) -> Condition:
    wanted = np.array(numbers, np.float64)
    return lambda values: np.isin(values, wanted)
