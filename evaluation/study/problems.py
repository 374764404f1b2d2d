"""What was wrong with a data set, counted by kind and named by example."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType

MOST_EXAMPLES = 5

KINDS = MappingProxyType(
    {
        "photo_entry_invalid": "an entry of `images` without an id or a file name; left out",
        "photo_listed_twice": "a file named by more than one entry of `images`; taken once",
        "photo_id_repeated": "an id that another photo has already; left out",
        "photo_outside_folder": "a file name that leads out of the data set's folder; left out",
        "photo_missing": "no such file; left out",
        "photo_undecodable": "not a whole JPEG, PNG or WebP; left out",
        "photo_too_large": "more pixels than may be decoded; left out",
        "photo_too_small": "a side below 8 pixels; left out",
        "photo_size_differs": "width or height is not what the annotations say; the file is right",
        "category_invalid": "an entry of `categories` without an id or a name; left out",
        "category_repeated": "an id that another category has already; left out",
        "object_entry_invalid": "an annotation that is no object, or whose bbox is not four finite "
        "numbers; left out",
        "object_of_unknown_photo": "its image_id is that of no photo; left out",
        "object_of_unknown_category": "its category_id is that of no category; left out",
        "box_empty": "a box without area; left out",
        "box_outside_photo": "a box that lies wholly beside its photo; left out",
        "box_clipped": "a box that reaches out of its photo by more than a pixel; cut off there",
    }
)
"""Every kind of problem, and what is done about it."""


@dataclass
class Problems:
    """Collects problems. Not thread-safe."""

    counts: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        """Counts one problem of a kind of `KINDS`; the first examples are kept."""
        self.counts[kind] += 1
        named = self._examples.setdefault(kind, [])
        if len(named) < MOST_EXAMPLES:
            named.append(example)

    def as_counts(self) -> dict[str, int]:
        """Problems by kind, in the order of `KINDS`; kinds that did not occur are left out."""
        return {kind: self.counts[kind] for kind in KINDS if self.counts[kind]}

    def examples(self) -> dict[str, tuple[str, ...]]:
        """The examples of each kind that occurred."""
        return {kind: tuple(self._examples[kind]) for kind in KINDS if kind in self._examples}
