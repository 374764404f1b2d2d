"""Reads the text form of filters; `filter_text` has the grammar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from patchsearch.errors import InvalidArgument
from patchsearch.filter_check import check_depth, shown
from patchsearch.filter_tokens import (
    KEYWORDS,
    Kind,
    Token,
    cannot_read,
    number_of,
    path_of,
    string_of,
    time_of,
    tokens_of,
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

_Bound: TypeAlias = float | datetime
_ORDER = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}
_MIRRORED = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}
_LISTED = "a string in quotes, a number, true or false"
_VALUE = "a string in quotes, a number, true, false, or a time such as 2022-03-01T10:15:00Z"


class FilterParser:
    """Recursive descent, one method for each rule of the grammar; for one text."""

    def __init__(self, text: str) -> None:
        """Raises InvalidArgument FILTER_INVALID where something is no token."""
        self._tokens = tokens_of(text)
        self._at = 0

    def parse(self) -> Filter:
        """The filter; raises InvalidArgument FILTER_INVALID where something else was expected."""
        filter = self._any(1)
        if self._token.kind is not Kind.END:
            raise self._expected('"and", "or" or the end')
        return filter

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        self._at += 1
        return token

    def _take(self, text: str) -> bool:
        found = self._token.text == text
        self._at += found
        return found

    def _demand(self, text: str) -> None:
        if not self._take(text):
            raise self._expected(f'"{text}"')

    def _any(self, depth: int) -> Filter:
        filters = self._joined(self._all, "or", depth)
        return filters[0] if len(filters) == 1 else AnyOf(filters)

    def _all(self, depth: int) -> Filter:
        filters = self._joined(self._factor, "and", depth)
        return filters[0] if len(filters) == 1 else AllOf(filters)

    def _joined(self, rule: Callable[[int], Filter], word: str, depth: int) -> tuple[Filter, ...]:
        filters = [rule(depth)]
        while self._take(word):
            filters.append(rule(depth))
        return tuple(filters)

    def _factor(self, depth: int) -> Filter:
        # Every "not" and every pair of parentheses, so that no text exhausts the stack.
        check_depth(depth)
        if self._take("not"):
            return Not(self._factor(depth + 1))
        if self._take("("):
            filter = self._any(depth + 1)
            self._demand(")")
            return filter
        if self._take("exists"):
            return Exists(self._field("the field that is to exist"))
        if self._take("image_id"):
            return self._prefix()
        if self._token.kind in (Kind.NUMBER, Kind.TIME):
            return self._mirrored()
        return self._comparison(self._field('a field, "not", "exists", "image_id" or "("'))

    def _prefix(self) -> ImageIdPrefix:
        if self._token.text in ("=", "==", "!=", "in", "not", *_ORDER):
            raise cannot_read(
                self._token.start,
                'image_id is compared with "startswith" alone; '
                "a field of the metadata that is called so is written in quotes",
            )
        self._demand("startswith")
        if not self._token.is_string:
            raise self._expected("a string in quotes")
        return ImageIdPrefix(string_of(self._next()))

    def _field(self, what: str) -> str:
        token = self._token
        if token.kind is not Kind.NAME or token.text in KEYWORDS:
            raise self._expected(what)
        return path_of(self._next())

    def _comparison(self, field: str) -> Filter:
        symbol = self._token
        if self._take("=") or self._take("=="):
            return self._equal(field)
        if self._take("!="):
            return Not(self._equal(field))
        if self._take("in"):
            return self._among(field)
        if self._take("not"):
            self._demand("in")
            return Not(self._among(field))
        if symbol.text in _ORDER:
            self._next()
            return _range(field, {_ORDER[symbol.text]: self._bound()})
        if symbol.text == "startswith":
            raise cannot_read(symbol.start, '"startswith" asks about image_id alone, not a field')
        raise self._expected('"=", "!=", "<", "<=", ">", ">=", "in" or "not in"')

    def _mirrored(self) -> Filter:
        """A bound on the left of the field, and perhaps another on its right."""
        bounds = {}
        first = self._bound()
        left = self._order()
        bounds[_ORDER[_MIRRORED[left.text]]] = first
        field = self._field("a field")
        if self._token.text in _ORDER:
            right = self._order()
            if right.text[0] != left.text[0]:
                raise cannot_read(
                    right.start, "the two bounds are on one side; write them as in 1 <= speed < 5"
                )
            last = self._bound()
            if isinstance(first, datetime) is not isinstance(last, datetime):
                raise cannot_read(right.start, "one bound is a time and one a number")
            bounds[_ORDER[right.text]] = last
        return _range(field, bounds)

    def _order(self) -> Token:
        if self._token.text not in _ORDER:
            raise self._expected('"<", "<=", ">" or ">="')
        return self._next()

    def _equal(self, field: str) -> Match | TimeRange:
        if self._token.kind is Kind.TIME:
            time = time_of(self._next())
            return TimeRange(field, gte=time, lte=time)
        return Match(field, (self._scalar(_VALUE),))

    def _among(self, field: str) -> Match:
        self._demand("(")
        values = [self._scalar(_LISTED)]
        while self._take(","):
            values.append(self._scalar(_LISTED))
        if not self._take(")"):
            raise self._expected('"," or ")"')
        return Match(field, tuple(values))

    def _scalar(self, what: str) -> Scalar:
        token = self._token
        if token.kind is Kind.NUMBER:
            return number_of(self._next())
        if token.is_string:
            return string_of(self._next())
        if token.text in ("true", "false"):
            return self._next().text == "true"
        raise self._expected(what)

    def _bound(self) -> _Bound:
        token = self._token
        if token.kind is Kind.NUMBER:
            return number_of(self._next())
        if token.kind is Kind.TIME:
            return time_of(self._next())
        raise self._expected("a number, or a time such as 2022-03-01T10:15:00Z")

    def _expected(self, what: str) -> InvalidArgument:
        token = self._token
        found = "the end" if token.kind is Kind.END else shown(token.text)
        return cannot_read(token.start, f"found {found}, expected {what}")


def _range(field: str, bounds: dict[str, _Bound]) -> NumberRange | TimeRange:
    times = {name: bound for name, bound in bounds.items() if isinstance(bound, datetime)}
    numbers = {name: bound for name, bound in bounds.items() if not isinstance(bound, datetime)}
    return TimeRange(field, **times) if times else NumberRange(field, **numbers)
