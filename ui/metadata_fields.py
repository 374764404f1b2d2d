"""Fields of metadata, found by the names that they usually have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from patchsearch.field_path import split_path

Keys: TypeAlias = tuple[str, ...]
"""Where a field is in nested metadata, outermost key first."""

_DEEPEST = 5
_MOST = 400


def fields_in(all_metadata: Iterable[Mapping[str, Any]]) -> list[Keys]:
    """The fields that hold something else than an object, in the order in which they come up."""
    found: dict[Keys, None] = {}
    for metadata in all_metadata:
        _collect(metadata, (), found)
    return list(found)


def fields_named(fields: Sequence[Keys], name: str) -> list[Keys]:
    """The fields whose path is `name` (`field_path`) or ends with it, whatever the case."""
    ending = _folded(split_path(name))
    return [keys for keys in fields if _folded(keys)[-len(ending) :] == ending]


def pairs_named(fields: Sequence[Keys], one: str, other: str) -> list[tuple[Keys, Keys]]:
    """Two such fields that are in the same object."""
    ending = _folded(split_path(other))
    length = len(split_path(one))
    by_name = {_folded(keys): keys for keys in fields}
    pairs = []
    for keys in fields_named(fields, one):
        partner = by_name.get(_folded(keys[:-length]) + ending)
        if partner is not None:
            pairs.append((keys, partner))
    return pairs


def value_at(metadata: Mapping[str, Any], keys: Keys) -> Any:
    """What a field holds; None where it is missing."""
    value: Any = metadata
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number_in(value: Any) -> float | None:
    """A finite number, or one that is written as text (as CSV manifests leave it)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _collect(metadata: Mapping[str, Any], above: Keys, found: dict[Keys, None]) -> None:
    for key, value in metadata.items():
        if len(found) >= _MOST:
            return
        keys = (*above, key)
        if isinstance(value, Mapping):
            if len(keys) < _DEEPEST:
                _collect(value, keys, found)
        elif key:
            found.setdefault(keys)


def _folded(keys: Keys) -> Keys:
    return tuple(key.casefold() for key in keys)
