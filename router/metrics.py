"""The router's metrics."""

from __future__ import annotations

import enum
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CallKind(enum.Enum):
    """Why a shard is called for a read."""

    FIRST = "first"
    RETRY = "retry"
    HEDGE = "hedge"


class RouterMetrics:
    """Counts what the router does beyond serving calls, for an operator's dashboard. Thread-safe.

    Times are seconds. Labels have a few fixed values each.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fan_out = Histogram(
            "patchsearch_router_fan_out_seconds",
            "Seconds of a search from the first call to a shard to the last answer that counted.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        calls = Counter(
            "patchsearch_router_shard_calls",
            "Calls to shards for reads: first ones, retries after a failure, and hedges.",
            ["kind"],
            registry=registry,
        )
        # Looked up once: a search makes several.
        self._calls = {kind: calls.labels(kind.value) for kind in CallKind}
        self._hedges_won = Counter(
            "patchsearch_router_hedges_won",
            "Hedges that answered before the call that they were made for.",
            registry=registry,
        )
        self._degraded = Counter(
            "patchsearch_router_degraded_answers",
            "Searches answered without some partition.",
            registry=registry,
        )
        self._asked_again = Counter(
            "patchsearch_router_searches_asked_again",
            "Searches that asked partitions for all hits, as one held more than its share.",
            registry=registry,
        )
        self._coverage = Gauge(
            "patchsearch_router_coverage_ratio",
            "Partitions that answered the last search, of all.",
            registry=registry,
        )
        self._behind = Gauge(
            "patchsearch_router_replicas_behind",
            "Replicas known to miss writes that another replica has.",
            registry=registry,
        )
        self._failing = Gauge(
            "patchsearch_router_shards_failing",
            "Shards that do not answer.",
            registry=registry,
        )
        self._repairs = Counter(
            "patchsearch_router_repairs",
            "Repairs of replicas, by what was done and how it ended.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._writes = Counter(
            "patchsearch_router_writes",
            "Writes to a partition's replicas, by consistency and outcome.",
            ["consistency", "outcome"],
            registry=registry,
        )
        self._stale = Counter(
            "patchsearch_router_stale_placements",
            "Times a shard refused the router's placement as stale, by what was asked.",
            ["call"],
            registry=registry,
        )
        self._epoch = Gauge(
            "patchsearch_router_placement_epoch",
            "Epoch of the placement in force.",
            registry=registry,
        )
        self._shed = Counter(
            "patchsearch_router_ingest_shed",
            "Ingest streams and images refused or held back for the sake of searches.",
            registry=registry,
        )
        self._coverage.set(1.0)

    def called(self, kind: CallKind) -> None:
        """A shard was called for a read."""
        self._calls[kind].inc()

    def hedge_won(self) -> None:
        """A hedge answered first."""
        self._hedges_won.inc()

    def asked_again(self) -> None:
        """A partition held more of the hits than its share."""
        self._asked_again.inc()

    def searched(self, seconds: float, answered: int, total: int) -> None:
        """A search's fan-out took so long and reached so many partitions of all."""
        self._fan_out.observe(seconds)
        self._coverage.set(answered / total)
        if answered < total:
            self._degraded.inc()

    def stale_placement(self, call: str) -> None:
        """A shard refused this router's placement; `call` is "read" or "write"."""
        self._stale.labels(call).inc()

    def wrote(self, consistency: str, outcome: str) -> None:
        """A write of one partition ended "acknowledged", "not_acknowledged" or "refused"."""
        self._writes.labels(consistency, outcome).inc()

    def repaired(self, kind: str, outcome: str) -> None:
        """A "repair" or "pull" "started", is "done", or "failed"."""
        self._repairs.labels(kind, outcome).inc()

    def shed_ingest(self) -> None:
        """An ingest stream or image had to wait or was refused, so that searches go on."""
        self._shed.inc()

    def follow(
        self,
        epoch: Callable[[], float],
        behind: Callable[[], float],
        failing: Callable[[], float],
    ) -> None:
        """Where the state of the cluster is read from, whenever metrics are."""
        self._epoch.set_function(epoch)
        self._behind.set_function(behind)
        self._failing.set_function(failing)
