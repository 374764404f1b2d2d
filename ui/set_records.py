"""What is told of a set besides its items."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SetSummary:
    """A set without its items. Times are RFC 3339 in UTC."""

    id: int
    name: str
    created: str
    changed: str
    yes: int
    no: int
    skipped: int

    @property
    def judged(self) -> int:
        """Accepted and rejected patches."""
        return self.yes + self.no

    @property
    def precision(self) -> float | None:
        """Share of the accepted; None before anything is judged."""
        return self.yes / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Round:
    """What was judged of one search: its query string, accepted and rejected patches."""

    found_by: str
    yes: int
    no: int
