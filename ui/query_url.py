"""A search as the parameters of an address, so that it can be kept, shared and gone back to.

t    one term: `text:an ambulance`, `crop:DIGEST`, `region:x,y,w,h@DIGEST`,
     `patch:x,y,w,h@IMAGE`, `photo:x,y,w,h@IMAGE` (any box of a stored image)
w    its weight, the n-th `w` for the n-th `t`; 1 where missing
k, min, filter, exact, oversample, ef, nprobe, overlap      see `SearchOptions`
group  image or drive;  judged  `show` keeps patches that the open set has judged already
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.query import SearchOptions

TermKind: TypeAlias = Literal["text", "crop", "region", "patch", "photo"]

DEFAULT_K = 16
MAX_K = 1000
MAX_TERMS = 256
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BOXED = re.compile(r"(-?\d{1,9}),(-?\d{1,9}),(-?\d{1,9}),(-?\d{1,9})@(.*)", re.DOTALL)
_YES = ("1", "on", "true")


@dataclass(frozen=True, slots=True)
class DeskTerm:
    """One thing looked for or pushed away from.

    `source` is the text, the digest of an uploaded picture, or an image's id; `box` lies in it.
    """

    kind: TermKind
    source: str
    box: Box | None = None
    weight: float = 1.0

    @property
    def value(self) -> str:
        """The parameter `t`."""
        if self.box is None:
            return f"{self.kind}:{self.source}"
        return f"{self.kind}:{place_text(self.source, self.box)}"


@dataclass(frozen=True, slots=True)
class DeskQuery:
    """What one address of the search page asks for."""

    terms: tuple[DeskTerm, ...] = ()
    k: int = DEFAULT_K
    threshold: float | None = None
    filter: str = ""
    exact: bool = False
    oversample: float | None = None
    ef: int | None = None
    nprobe: int | None = None
    overlap: bool = False
    group: str = ""
    show_judged: bool = False

    def params(self) -> list[tuple[str, str]]:
        """The parameters, defaults left out, always in one order."""
        params: list[tuple[str, str]] = []
        for term in self.terms:
            params += [("t", term.value), ("w", _number(term.weight))]
        if self.k != DEFAULT_K:
            params.append(("k", str(self.k)))
        for name, value in (
            ("min", self.threshold),
            ("oversample", self.oversample),
            ("ef", self.ef),
            ("nprobe", self.nprobe),
        ):
            if value is not None:
                params.append((name, _number(value)))
        params += [
            (name, value)
            for name, value in (
                ("filter", self.filter),
                ("exact", "1" if self.exact else ""),
                ("overlap", "1" if self.overlap else ""),
                ("group", self.group),
                ("judged", "show" if self.show_judged else ""),
            )
            if value
        ]
        return params

    @property
    def query_string(self) -> str:
        """The parameters as the part of an address after `?`."""
        return urlencode(self.params())

    @property
    def url(self) -> str:
        """The address of the search page that asks for this."""
        return f"/?{self.query_string}" if self.params() else "/"

    @property
    def options(self) -> SearchOptions:
        """The client's options, without `k`."""
        options = SearchOptions(exact=self.exact, keep_overlapping=self.overlap)
        if self.threshold is not None:
            options["score_threshold"] = self.threshold
        if self.filter:
            options["filter"] = self.filter
        if self.oversample is not None:
            options["oversample"] = self.oversample
        if self.ef is not None:
            options["ef"] = self.ef
        if self.nprobe is not None:
            options["nprobe"] = self.nprobe
        return options

    def plus(self, term: DeskTerm) -> DeskQuery:
        """With one more term; one that is there already gets the new weight."""
        kept = tuple(t for t in self.terms if replace(t, weight=term.weight) != term)
        return replace(self, terms=(*kept, term))

    def without(self, position: int) -> DeskQuery:
        """Without the term at this position."""
        return replace(self, terms=self.terms[:position] + self.terms[position + 1 :])

    def flipped(self, position: int) -> DeskQuery:
        """With the weight of the term at this position turned round."""
        term = self.terms[position]
        flipped = replace(term, weight=-term.weight)
        return replace(self, terms=(*self.terms[:position], flipped, *self.terms[position + 1 :]))


def place_text(source: str, box: Box) -> str:
    """A box of something as text: `x,y,w,h@source`."""
    return f"{box.x},{box.y},{box.w},{box.h}@{source}"


def read_place(text: str) -> tuple[str, Box]:
    """Source and box of a `place_text`; raises InvalidArgument PLACE_INVALID."""
    match = _BOXED.fullmatch(text)
    if match is None or not match[5]:
        raise InvalidArgument("PLACE_INVALID", "a place is written x,y,w,h@image")
    x, y, w, h = (int(part) for part in match.groups()[:4])
    return match[5], Box(x, y, w, h)


def read_term(value: str, weight: float = 1.0) -> DeskTerm:
    """The term of a parameter `t`; raises InvalidArgument TERM_INVALID or PLACE_INVALID."""
    kind, _, rest = value.partition(":")
    if not rest.strip():
        raise InvalidArgument("TERM_INVALID", "a term is written kind:value and is not empty")
    if kind == "text":
        return DeskTerm("text", rest.strip(), None, weight)
    if kind == "crop":
        return DeskTerm("crop", _digest(rest), None, weight)
    if kind in ("region", "patch", "photo"):
        source, box = read_place(rest)
        if kind == "region":
            _digest(source)
        return DeskTerm(cast("TermKind", kind), source, box, weight)
    raise InvalidArgument(
        "TERM_INVALID", "a term is one of text:, crop:, region:, patch: and photo:"
    )


def read_query(params: ImmutableMultiDict[str, str]) -> DeskQuery:
    """The query of an address or form; `q` is one more text.

    Raises InvalidArgument TERM_INVALID, PLACE_INVALID or PARAMETER_INVALID, naming the parameter.
    """
    weights = params.getlist("w")
    values = params.getlist("t")
    if len(values) > MAX_TERMS:
        raise InvalidArgument("TERM_INVALID", f"{len(values)} terms; at most {MAX_TERMS} go")
    terms = [
        read_term(value, _weight(weights[i] if i < len(weights) else ""))
        for i, value in enumerate(values)
    ]
    query = DeskQuery(
        terms=tuple(terms),
        k=_whole(params, "k", 1, MAX_K) or DEFAULT_K,
        threshold=_real(params, "min", -1, 1),
        filter=params.get("filter", "").strip(),
        exact=params.get("exact", "") in _YES,
        oversample=_real(params, "oversample", 1, 100),
        ef=_whole(params, "ef", 1, 4096),
        nprobe=_whole(params, "nprobe", 1, 65536),
        overlap=params.get("overlap", "") in _YES,
        group=params.get("group", "") if params.get("group") in ("image", "drive") else "",
        show_judged=params.get("judged", "") == "show",
    )
    typed = params.get("q", "").strip()
    return query.plus(DeskTerm("text", typed)) if typed else query


def as_client_order(terms: Sequence[DeskTerm]) -> list[DeskTerm]:
    """Terms that pull before terms that push, each in their order."""
    return sorted(terms, key=lambda term: term.weight < 0)


def _digest(text: str) -> str:
    if _DIGEST.fullmatch(text) is None:
        raise InvalidArgument("TERM_INVALID", "a picture is named by its SHA-256 in hex")
    return text


def _weight(text: str) -> float:
    if not text.strip():
        return 1.0
    weight = _finite("w", text, -1000, 1000)
    if weight == 0:
        raise InvalidArgument("PARAMETER_INVALID", "a weight of 0 does nothing; take it out")
    return weight


def _real(params: ImmutableMultiDict[str, str], name: str, low: float, high: float) -> float | None:
    text = params.get(name, "").strip()
    return _finite(name, text, low, high) if text else None


def _whole(params: ImmutableMultiDict[str, str], name: str, low: int, high: int) -> int | None:
    value = _real(params, name, low, high)
    if value is not None and value != int(value):
        raise InvalidArgument("PARAMETER_INVALID", f"{name} must be a whole number")
    return None if value is None else int(value)


def _finite(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:  # nan is in no range
        raise InvalidArgument(
            "PARAMETER_INVALID", f"{name} is {text[:40]!r}; it must be {low:g} to {high:g}"
        )
    return value


def _number(value: float) -> str:
    return f"{value:.6g}"
