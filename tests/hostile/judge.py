"""What a hostile item may lead to, and a record of what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.hostile.raw_calls import REFUSED_WITH, Answer, RawCall
from tests.hostile.watched_cluster import MB, WatchedCluster

HANG_S = 2.0
MOST_GROWTH = 1024 * MB
"""That a server's memory may peak above where it was before: some messages of the largest size."""

MOST_KEPT = 400 * MB
"""That a server may still hold when all is over: what its allocator does not give back."""

WAITS_FOR_OTHERS = frozenset({"PullPartition", "RepairPartition"})
"""They call an address out of the request, and wait for it as long as the caller does."""


@dataclass(slots=True)
class Report:
    """Counts of outcomes, and everything that should not have happened."""

    images: int = 0
    mutants: int = 0
    mutants_over_grpc: int = 0
    calls: int = 0
    idle_connections: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    slow: list[str] = field(default_factory=list)
    """Over the limit on the clock, and not in processor time: the machine was busy."""
    memory_mb: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def took(self, name: str, seconds: float) -> None:
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, name

    def judge(self, name: str, call: RawCall, answer: Answer) -> None:
        """Notes the outcome of a call, and whether it is one that must not be."""
        self.outcomes[f"{answer.code}"] += 1
        if answer.code not in REFUSED_WITH:
            self.failures.append(f"{name}: {answer.code}: {answer.message[:300]}")
        # To compress a bomb takes this side longer than the other one may take.
        if call.method.name in WAITS_FOR_OTHERS or call.compressed:
            return
        self.took(name, answer.seconds)
        if answer.seconds <= HANG_S:
            return
        told = f"{name}: {answer.seconds:.1f} s, {answer.cpu_s:.1f} s of processor ({answer.code})"
        # A busy machine makes everything slow. What hangs burns its time, or never answers.
        if answer.cpu_s > HANG_S or answer.code == "DEADLINE_EXCEEDED":
            self.failures.append(told)
        else:
            self.slow.append(told)

    def judge_cluster(self, cluster: WatchedCluster, after: str) -> None:
        """Notes processes that died and servers that do not answer."""
        for name in cluster.crashed():
            self.failures.append(f"after {after}: {name} crashed")
        for problem in cluster.unhealthy(within_s=3 * HANG_S):
            self.failures.append(f"after {after}: {problem}")
        cluster.measure()

    def judge_memory(self, cluster: WatchedCluster) -> None:
        """Notes what the servers used, and where that is too much."""
        cluster.measure()
        for name, memory in cluster.memory.items():
            self.memory_mb[name] = {key: value // MB for key, value in asdict(memory).items()}
            if memory.peak - memory.before > MOST_GROWTH:
                self.failures.append(f"{name} grew to {memory.peak // MB} MB")
            if memory.after - memory.before > MOST_KEPT:
                self.failures.append(f"{name} keeps {memory.after // MB} MB")

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        # asdict() makes a Counter of a Counter's pairs.
        return {**asdict(self), "outcomes": dict(self.outcomes)}
