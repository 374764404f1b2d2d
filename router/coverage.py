"""How much of the collection an answer speaks for."""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from patchsearch.errors import DeadlineExceeded, PatchsearchError, Unavailable
from placement.document import Partition


class PartitionState(enum.Enum):
    """What became of one partition in one search."""

    ANSWERED = "answered"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """One partition's share of a search."""

    partition: Partition
    state: PartitionState
    patches: int = 0
    """Patches that it holds; 0 unless it answered."""
    candidates_read: int = 0
    error: PatchsearchError | None = None
    """Set unless it answered."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Partitions asked, answered and missing; patches searched and known of."""

    partitions_total: int
    partitions_answered: int
    partitions_timed_out: int
    partitions_failed: int
    patches_covered: int
    patches_total: int

    @property
    def degraded(self) -> bool:
        """Whether anything is missing."""
        return self.partitions_answered < self.partitions_total


class PartitionSizes:
    """Patches of every partition, as last heard. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._patches: dict[str, int] = {}

    def learn(self, sizes: Mapping[str, int]) -> None:
        """Remembers sizes by partition id."""
        with self._lock:
            self._patches.update(sizes)

    def last_known(self, partition_id: str) -> int:
        """Patches of a partition; 0 for one never heard of."""
        with self._lock:
            return self._patches.get(partition_id, 0)

    def total(self, partitions: Iterable[Partition]) -> int:
        """Patches of these together, without those of partitions never heard of."""
        with self._lock:
            return sum(self._patches.get(partition.id, 0) for partition in partitions)


def summarise(outcomes: Sequence[PartitionOutcome], sizes: PartitionSizes) -> Coverage:
    """The coverage of an answer made of these outcomes, one per partition of the placement.

    `sizes` tells of the partitions that did not answer.
    """
    answered = [o for o in outcomes if o.state is PartitionState.ANSWERED]
    lost = [o for o in outcomes if o.state is not PartitionState.ANSWERED]
    covered = sum(o.patches for o in answered)
    return Coverage(
        partitions_total=len(outcomes),
        partitions_answered=len(answered),
        partitions_timed_out=sum(o.state is PartitionState.TIMED_OUT for o in outcomes),
        partitions_failed=sum(o.state is PartitionState.FAILED for o in outcomes),
        patches_covered=covered,
        patches_total=covered + sum(sizes.last_known(o.partition.id) for o in lost),
    )


def check_coverage(
    coverage: Coverage, outcomes: Sequence[PartitionOutcome], min_coverage: float
) -> None:
    """Refuses an answer that speaks for too little.

    An answer that speaks for nothing is always refused: "no hits" would read as "nowhere in the
    collection". Raises Unavailable COVERAGE_TOO_LOW; when nothing answered, DeadlineExceeded if all
    of it was out of time, or the shards' own error where they agree on one that trying again cannot
    mend.
    """
    share = coverage.partitions_answered / coverage.partitions_total
    if coverage.partitions_answered and share >= min_coverage:
        return
    if coverage.partitions_answered == 0:
        raise _nothing_answered(coverage, outcomes)
    raise Unavailable(
        "COVERAGE_TOO_LOW",
        f"{coverage.partitions_answered} of {coverage.partitions_total} partitions answered and "
        f"min_coverage is {min_coverage:g}; try again, or accept less. {missing(outcomes)}",
        metadata={"coverage": f"{share:g}", "min_coverage": f"{min_coverage:g}"},
    )


def missing(outcomes: Iterable[PartitionOutcome], at_most: int = 3) -> str:
    """A sentence that names the partitions that did not answer, and why; "" when all did."""
    lost = [o for o in outcomes if o.state is not PartitionState.ANSWERED]
    listed = "; ".join(
        f"{named(o.partition)} {o.state.value}"
        + (f": {o.error.message}" if o.error and o.state is PartitionState.FAILED else "")
        for o in lost[:at_most]
    )
    more = f"; and {len(lost) - at_most} more" if len(lost) > at_most else ""
    return f"Not searched: {listed}{more}." if lost else ""


def named(partition: Partition) -> str:
    """A partition and its replicas, for messages."""
    replicas = " and ".join(f"{r.shard} ({r.address})" for r in partition.replicas)
    return f"{partition.id} on {replicas}"


def _nothing_answered(coverage: Coverage, outcomes: Sequence[PartitionOutcome]) -> PatchsearchError:
    if coverage.partitions_timed_out == coverage.partitions_total:
        return DeadlineExceeded(
            "DEADLINE_EXCEEDED", "no partition answered in time; give the call a longer deadline"
        )
    errors = [o.error for o in outcomes if o.error is not None]
    final = errors[0]
    if len({e.reason for e in errors}) == 1 and not isinstance(final, Unavailable):
        return final
    return Unavailable("COVERAGE_TOO_LOW", f"no partition answered; try again. {missing(outcomes)}")
