"""What the batcher tells of its batches and its queue, driven through a fake model."""

from __future__ import annotations

import threading

import numpy as np
from prometheus_client import CollectorRegistry

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from encoder_service.metrics import EncoderMetrics


def test_batches_are_counted_by_lane_and_the_queue_is_seen(fake_model) -> None:
    registry = CollectorRegistry()
    metrics = EncoderMetrics(registry)
    model = fake_model(gate=threading.Semaphore(0))
    batcher = Batcher(model, max_batch=8, queue_limit=100, observe=metrics.observe)
    metrics.watch_queue(lambda: batcher.waiting, 100)
    call = Call.lasting(60)
    # The thread does not run yet, so all of it waits.
    future = batcher.submit(np.zeros((20, 16, 16, 3), dtype=np.uint8), Lane.PATCH, call)
    waiting = registry.get_sample_value("patchsearch_encoder_queue_items")
    model.gate.release(10)
    batcher.start()
    call.wait(future)
    batcher.close()

    def told(name: str, lane: str = "patch") -> float | None:
        return registry.get_sample_value(f"patchsearch_encoder_{name}", {"lane": lane})

    assert waiting == 20
    assert (told("batch_items_count"), told("batch_items_sum")) == (3, 20)
    assert told("batch_seconds_count") == 3
    assert told("batch_items_count", "text") == 0
    assert registry.get_sample_value("patchsearch_encoder_queue_items") == 0
    assert registry.get_sample_value("patchsearch_encoder_queue_limit") == 100
