"""Which replica of a partition is asked: a pure policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from placement.document import Partition


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica as the router knows it."""

    address: str
    failing: bool = False
    """Its shard did not answer lately."""
    behind: bool = False
    """It misses writes that another replica has."""
    beaten: bool = False
    """Another replica answered in its place, long after it was due."""
    in_flight: int = 0
    """Partitions that this router has asked of its shard and not heard of yet."""
    latency_s: float = 0.0
    """How long its shard's answers take, smoothed; 0 before the first one."""


def preferred(candidates: Iterable[Candidate]) -> Candidate | None:
    """The replica to ask: of those that live and miss nothing the one with the fewest in flight,
    then the quickest.

    One that was beaten is taken only when all others are behind or fail, one that is behind only
    when all others fail, one that fails only when all do. None where there are no candidates.
    """
    return min(
        candidates,
        key=lambda c: (c.failing, c.behind, c.beaten, c.in_flight, c.latency_s),
        default=None,
    )


def assign(
    partitions: Sequence[Partition],
    look: Callable[[Partition], Iterable[Candidate]],
) -> tuple[dict[str, list[Partition]], list[Partition]]:
    """Gives every partition to one of its candidates, and groups them by address.

    What was given to a shard counts as in flight for the partitions after it, so that shards get
    even shares. Returns the groups, and the partitions that have no candidate.
    """
    groups: dict[str, list[Partition]] = {}
    left_out: list[Partition] = []
    for partition in partitions:
        chosen = preferred(
            _with_more_in_flight(candidate, len(groups.get(candidate.address, ())))
            for candidate in look(partition)
        )
        if chosen is None:
            left_out.append(partition)
        else:
            groups.setdefault(chosen.address, []).append(partition)
    return groups, left_out


def _with_more_in_flight(candidate: Candidate, more: int) -> Candidate:
    if not more:
        return candidate
    return replace(candidate, in_flight=candidate.in_flight + more)
