"""The thread that owns the model, driven through a fake one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from patchsearch.errors import DeadlineExceeded, InternalError, ResourceExhausted, Unavailable

SIDE = 16


def pixels(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, SIDE, SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def started() -> Iterator:
    """Starts batchers, and closes them in the end."""
    batchers = []

    def start(model, max_batch: int = 8, queue_limit: int = 1000) -> Batcher:
        batcher = Batcher(model, max_batch=max_batch, queue_limit=queue_limit)
        batcher.start()
        batchers.append((batcher, model))
        return batcher

    yield start
    for batcher, model in batchers:
        if model.gate is not None:
            model.gate.release(10_000)
        batcher.close()


def call(seconds: float = 120.0) -> Call:
    return Call.lasting(seconds)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_vectors_come_in_the_order_of_the_input(fake_model, started, asynchronous):
    model = fake_model(asynchronous=asynchronous)
    batcher, patience = started(model), call()
    crops = pixels(37)
    vectors = patience.wait(batcher.submit(crops, Lane.CROP, patience))
    assert np.array_equal(vectors, model.image_vectors(crops))
    assert [size for _, size in model.batches] == [8, 8, 8, 8, 5]


def test_nothing_to_embed(fake_model, started):
    patience = call()
    vectors = patience.wait(started(fake_model()).submit(pixels(0), Lane.CROP, patience))
    assert vectors.shape == (0, 512)


def test_work_gathers_while_a_batch_is_computed(fake_model, started):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, patience = started(model), call()
    futures = [batcher.submit(pixels(1), Lane.CROP, patience)]
    assert model.begun.acquire(timeout=60)
    futures += [batcher.submit(pixels(1, n), Lane.CROP, patience) for n in range(20)]
    model.gate.release(100)
    for future in futures:
        patience.wait(future)
    assert [size for _, size in model.batches] == [1, 8, 8, 4]


def test_a_query_waits_for_one_batch_of_ingest_at_most(fake_model, started):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, patience = started(model), call()
    photo = batcher.submit(pixels(80), Lane.PATCH, patience)
    assert model.begun.acquire(timeout=60)
    crop = batcher.submit(pixels(3), Lane.CROP, patience)
    text = batcher.submit(model.tokenize(["a red van"]).ids, Lane.TEXT, patience)
    model.gate.release(3)
    patience.wait(text)
    patience.wait(crop)
    assert model.batches[:3] == [("images", 8), ("texts", 1), ("images", 3)]
    assert not photo.done()
    model.gate.release(100)
    assert len(patience.wait(photo)) == 80


def test_a_full_queue_refuses_and_says_when_to_come_back(fake_model, started):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, patience = started(model, queue_limit=10), call()
    first = batcher.submit(pixels(4), Lane.PATCH, patience)
    assert model.begun.acquire(timeout=60)
    second = batcher.submit(pixels(10), Lane.PATCH, patience)
    with pytest.raises(ResourceExhausted, match="10 wait, the limit is 10") as caught:
        batcher.submit(pixels(1), Lane.CROP, patience)
    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after_s > 0
    model.gate.release(100)
    assert len(patience.wait(first)) == 4 and len(patience.wait(second)) == 10
    assert len(patience.wait(batcher.submit(pixels(1), Lane.CROP, patience))) == 1


def test_callers_that_left_are_dropped_and_make_room(fake_model, started):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, patience = started(model, queue_limit=10), call()
    first = batcher.submit(pixels(8), Lane.PATCH, patience)
    assert model.begun.acquire(timeout=60)
    leaver, hasty = call(), call(0.05)
    left = batcher.submit(pixels(5), Lane.CROP, leaver)
    late = batcher.submit(pixels(5), Lane.CROP, hasty)
    leaver.cancel()
    with pytest.raises(DeadlineExceeded):
        leaver.wait(left)
    with pytest.raises(DeadlineExceeded):
        hasty.wait(late)
    stays = batcher.submit(pixels(10), Lane.CROP, patience)
    model.gate.release(100)
    patience.wait(first)
    assert len(patience.wait(stays)) == 10
    assert [size for _, size in model.batches] == [8, 8, 2]


def test_a_caller_that_leaves_halfway_costs_one_batch(fake_model, started):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, leaver, patience = started(model), call(), call()
    half = batcher.submit(pixels(64), Lane.PATCH, leaver)
    assert model.begun.acquire(timeout=60)
    other = batcher.submit(pixels(2), Lane.PATCH, patience)
    leaver.cancel()
    with pytest.raises(DeadlineExceeded):
        leaver.wait(half)
    model.gate.release(100)
    assert len(patience.wait(other)) == 2
    assert [size for _, size in model.batches] == [8, 2]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failing_model_fails_its_callers_and_lives_on(fake_model, started, asynchronous, capfd):
    model = fake_model(failing=True, asynchronous=asynchronous)
    batcher, patience = started(model), call()
    with pytest.raises(InternalError, match="fake failure") as caught:
        patience.wait(batcher.submit(pixels(20), Lane.CROP, patience))
    assert caught.value.reason == "MODEL_FAILED"
    model.failing = False
    assert len(patience.wait(batcher.submit(pixels(2), Lane.CROP, patience))) == 2


def test_vectors_that_are_not_finite_are_an_error(fake_model, started):
    model = fake_model()
    model.image_vectors = lambda crops: np.full((len(crops), 512), np.nan, dtype=np.float32)
    batcher, patience = started(model), call()
    with pytest.raises(InternalError) as caught:
        patience.wait(batcher.submit(pixels(1), Lane.CROP, patience))
    assert caught.value.reason == "VECTOR_NOT_FINITE"


def test_close_fails_what_waits(fake_model):
    model = fake_model(gate=threading.Semaphore(0))
    batcher, patience = Batcher(model, max_batch=4, queue_limit=100), call()
    batcher.start()
    at_work = batcher.submit(pixels(4), Lane.CROP, patience)
    assert model.begun.acquire(timeout=60)
    waits = batcher.submit(pixels(4), Lane.CROP, patience)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not batcher.closed:
        time.sleep(0.001)
    model.gate.release(100)
    closing.join(timeout=60)
    assert len(patience.wait(at_work)) == 4
    for refused in (
        lambda: patience.wait(waits),
        lambda: batcher.submit(pixels(1), Lane.CROP, patience),
    ):
        with pytest.raises(Unavailable) as caught:
            refused()
        assert caught.value.reason == "NOT_READY"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_many_callers_at_once_each_get_their_own(fake_model, started, asynchronous):
    model = fake_model(asynchronous=asynchronous)
    batcher = started(model, queue_limit=100_000)
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for round_ in range(15):
            patience = call()
            crops = pixels(int(rng.integers(1, 30)), 100 * seed + round_)
            future = batcher.submit(crops, Lane(int(rng.integers(1, 3))), patience)
            if rng.random() < 0.2:
                patience.cancel()
                continue
            if not np.array_equal(patience.wait(future), model.image_vectors(crops)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert max(size for _, size in model.batches) <= 8


def test_an_idle_batcher_uses_no_time(fake_model, started):
    started(fake_model())
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
