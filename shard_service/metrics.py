"""What a shard measures of itself besides its calls."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class RecallMetrics:
    """Counts of recall checks by index profile; recall is found hits over expected ones.

    Thread-safe.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Counter(
            "patchsearch_recall_checks",
            "Searches that were answered again exactly, by index profile.",
            ["profile"],
            registry=registry,
        )
        self._expected = Counter(
            "patchsearch_recall_expected_hits",
            "Hits of those exact answers.",
            ["profile"],
            registry=registry,
        )
        self._found = Counter(
            "patchsearch_recall_found_hits",
            "Of those hits, the ones that the searches had found: divide by the expected hits.",
            ["profile"],
            registry=registry,
        )

    def observe(self, profile: str, found: int, expected: int) -> None:
        """Counts one check."""
        self._checks.labels(profile).inc()
        self._expected.labels(profile).inc(expected)
        self._found.labels(profile).inc(found)
