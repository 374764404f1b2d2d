"""What an encoder measures of itself besides its calls: its batches and its queue."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from encoder_service.batching import Lane

Observe = Callable[[Lane, int, float], None]
"""Told of each batch: its lane, its items (0 where the model failed), and the seconds from its
start to its vectors."""

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def not_observed(lane: Lane, items: int, seconds: float) -> None:
    """For batchers that nobody watches."""


class EncoderMetrics:
    """Batches by lane (text, crop, patch), and how full the queue is. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._items = Histogram(
            "patchsearch_encoder_batch_items",
            "Items that went through the model at a time, by lane.",
            ["lane"],
            buckets=_SIZES,
            registry=registry,
        )
        self._seconds = Histogram(
            "patchsearch_encoder_batch_seconds",
            "Seconds from a batch's start to its vectors, by lane.",
            ["lane"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "patchsearch_encoder_batches_failed",
            "Batches that the model failed on, by lane.",
            ["lane"],
            registry=registry,
        )
        for lane in Lane:
            for family in (self._items, self._seconds, self._failed):
                family.labels(lane.name.lower())

    def observe(self, lane: Lane, items: int, seconds: float) -> None:
        """Counts a batch; `items` of 0 for one that failed."""
        name = lane.name.lower()
        if items:
            self._items.labels(name).observe(items)
            self._seconds.labels(name).observe(seconds)
        else:
            self._failed.labels(name).inc()

    def watch_queue(self, waiting: Callable[[], int], limit: int) -> None:
        """From now on scrapes ask `waiting`; once."""
        Gauge(
            "patchsearch_encoder_queue_items",
            "Items that wait for a batch.",
            registry=self._registry,
        ).set_function(waiting)
        Gauge(
            "patchsearch_encoder_queue_limit",
            "Items that may wait; more are refused with OVERLOADED.",
            registry=self._registry,
        ).set(limit)
