"""What a retrieval study found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.study.retrieval.examples import Example


@dataclass(frozen=True, eq=False)
class RetrievalResults:
    """Rows as JSON has them, and the searches that galleries show.

    `search` (table 4.3): {level, query, n, precision_at_16: {mean, std}, map, chance, reachable,
    queries, classes}; `recall`: {level, query, n, objects, findable, curve, map, classes};
    `profiles` (table 4.4) and `options` as `profile_rows` and `study_rows` say. `about`: settings,
    the classes that were searched for with their wordings, those left out and why.
    """

    search: Sequence[Mapping[str, Any]]
    recall: Sequence[Mapping[str, Any]]
    profiles: Sequence[Mapping[str, Any]]
    options: Sequence[Mapping[str, Any]]
    about: Mapping[str, Any]
    examples: Sequence[Example]

    def as_json(self) -> dict[str, Any]:
        """`search`, `recall`, `profiles`, `options` and `retrieval` (what `about` holds)."""
        return {
            "search": list(self.search),
            "recall": list(self.recall),
            "profiles": list(self.profiles),
            "options": list(self.options),
            "retrieval": dict(self.about),
        }
