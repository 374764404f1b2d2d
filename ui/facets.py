"""Which metadata the images have, with counts, to make filters from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from patchsearch.errors import PatchsearchError
from patchsearch.filter_field import Field
from patchsearch.filter_text import format_filter
from patchsearch.query import as_filter
from patchsearch.results import StoredImage
from ui.query_url import DeskQuery

_FIELDS = 8
_VALUES = 8
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value, how many of the images have it, and the search with it as a further condition."""

    text: str
    images: int
    url: str


@dataclass(frozen=True, slots=True)
class Facet:
    """A metadata field and its most common values."""

    name: str
    values: Sequence[FacetValue]


def facets_of(images: Sequence[StoredImage], query: DeskQuery) -> list[Facet]:
    """The fields that tell images apart: strings and booleans with a few common values."""
    counts: dict[str, Counter[str | bool]] = {}
    for image in images:
        for path, value in _leaves(image.metadata, ""):
            counts.setdefault(path, Counter())[value] += 1
    facets: list[Facet] = []
    for path, values in counts.items():
        if len(values) > max(len(images) // 2, 2) or len(facets) == _FIELDS:
            continue
        told = [
            FacetValue(str(value), number, _narrowed(query, path, value))
            for value, number in values.most_common(_VALUES)
        ]
        facets.append(Facet(path, [value for value in told if value.url]))
    return facets


def _leaves(metadata: Mapping[str, Any], above: str) -> list[tuple[str, str | bool]]:
    found: list[tuple[str, str | bool]] = []
    for key, value in metadata.items():
        path = above + key.replace("\\", "\\\\").replace(".", "\\.")
        if isinstance(value, Mapping):
            found += _leaves(value, f"{path}.")
        elif isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST):
            found.append((path, value))
    return found


def _narrowed(query: DeskQuery, path: str, value: str | bool) -> str:
    """The search limited to images with this value too; "" where no filter can say so."""
    try:
        condition = Field(path).equals(value)
        whole = as_filter(query.filter) & condition if query.filter else condition
        return replace(query, filter=format_filter(whole)).url
    except (PatchsearchError, ValueError, TypeError):
        return ""
