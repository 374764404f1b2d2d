"""Deadlines, cancellation, full queues and crowds, over real gRPC with a fake model."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.errors import (
    DeadlineExceeded,
    InternalError,
    PatchsearchError,
    ResourceExhausted,
)
from patchsearch.wire.status import error_from_rpc
from patchsearch.wire.vectors import matrix_from_proto

TIMEOUT_S = 120


def raised(call, request, timeout: float = TIMEOUT_S) -> PatchsearchError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=timeout)
    return error_from_rpc(caught.value)


def texts(*words: str) -> pb.EncodeTextsRequest:
    return pb.EncodeTextsRequest(texts=words)


def crops(*images: bytes) -> pb.EncodeCropsRequest:
    return pb.EncodeCropsRequest(crops=[pb.CropImage(image=image) for image in images])


def vectors_of(response) -> np.ndarray:
    return matrix_from_proto(response.vectors)


def test_photos_leave_workers_to_queries(serve, fake_model, street, encoded):
    model = fake_model(gate=threading.Semaphore(0))
    photo = pb.SelectAndEncodeRequest(image=encoded(street))
    with serve(model, workers=4) as stub, ThreadPoolExecutor(2) as callers:
        at_work = [callers.submit(stub.SelectAndEncode, photo, timeout=TIMEOUT_S) for _ in range(2)]
        assert model.begun.acquire(timeout=60)
        until = time.monotonic() + 60
        while True:  # the second photo is in work soon
            error = raised(stub.SelectAndEncode, photo, timeout=0.5)
            if isinstance(error, ResourceExhausted):
                break
            assert time.monotonic() < until
        assert error.reason == "OVERLOADED" and error.retry_after_s > 0
        model.gate.release(10_000)
        small = crops(encoded(street[:64, :64]))
        assert len(vectors_of(stub.EncodeCrops(small, timeout=TIMEOUT_S))) == 1
        assert all(job.result().patches for job in at_work)


def test_a_deadline_is_kept_and_the_work_dropped(serve, fake_model, street, encoded):
    model = fake_model(gate=threading.Semaphore(0))
    with serve(model) as stub, ThreadPoolExecutor(1) as caller:
        blocking = caller.submit(stub.EncodeTexts, texts("first"), timeout=TIMEOUT_S)
        assert model.begun.acquire(timeout=60)
        request = crops(*[encoded(street[:32, :32])] * 5)
        started = time.monotonic()
        error = raised(stub.EncodeCrops, request, timeout=0.3)
        assert isinstance(error, DeadlineExceeded)
        assert time.monotonic() - started < 5
        model.gate.release(10_000)
        blocking.result()
        stub.EncodeTexts(texts("last"), timeout=TIMEOUT_S)
    assert model.batches == [("texts", 1), ("texts", 1)]


def test_a_cancelled_call_is_dropped(serve, fake_model, street, encoded):
    model = fake_model(gate=threading.Semaphore(0))
    with serve(model) as stub:
        blocking = stub.EncodeTexts.future(texts("first"), timeout=TIMEOUT_S)
        assert model.begun.acquire(timeout=60)
        leaving = stub.SelectAndEncode.future(
            pb.SelectAndEncodeRequest(image=encoded(street)), timeout=TIMEOUT_S
        )
        time.sleep(0.3)
        leaving.cancel()
        time.sleep(0.1)
        model.gate.release(10_000)
        blocking.result()
        stub.EncodeTexts(texts("last"), timeout=TIMEOUT_S)
    assert [kind for kind, _ in model.batches] == ["texts", "texts"]


def test_a_full_queue_refuses(serve, fake_model):
    model = fake_model(gate=threading.Semaphore(0))
    with serve(model, queue_limit=4) as stub:
        first = stub.EncodeTexts.future(texts("first"), timeout=TIMEOUT_S)
        assert model.begun.acquire(timeout=60)
        calls = [stub.EncodeTexts.future(texts(f"text {n}"), timeout=TIMEOUT_S) for n in range(6)]
        until = time.monotonic() + 60
        while sum(call.done() for call in calls) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        refused = [call for call in calls if call.done()]
        for call in refused:
            error = error_from_rpc(call.exception())
            assert isinstance(error, ResourceExhausted)
            assert error.reason == "OVERLOADED" and error.retry_after_s > 0
        model.gate.release(10_000)
        answered = [call for call in (first, *calls) if call not in refused]
        assert len(answered) == 5
        assert all(len(vectors_of(call.result())) == 1 for call in answered)
        assert raised(stub.EncodeTexts, texts(*"abcde")).reason == "BATCH_OUT_OF_RANGE"


def test_a_failing_model_is_an_internal_error(serve, fake_model, capfd):
    with serve(fake_model(failing=True)) as stub:
        error = raised(stub.EncodeTexts, texts("van"))
    assert isinstance(error, InternalError) and error.reason == "MODEL_FAILED"


def test_many_callers_at_once(serve, fake_model, encoded):
    model = fake_model()

    def work(stub, n: int) -> bool:
        plain = np.full((3, 16, 16, 3), (n * 7 % 256, n * 3 % 256, n), dtype=np.uint8)
        if n % 3 == 0:
            answer = stub.EncodeTexts(texts(f"van {n}"), timeout=TIMEOUT_S)
            expected = model.text_vectors(model.tokenize([f"van {n}"]).ids)
        else:
            request = crops(*map(encoded, plain))
            answer = stub.EncodeCrops(request, timeout=TIMEOUT_S)
            expected = model.image_vectors(plain)
        return np.array_equal(vectors_of(answer), expected)

    with serve(model) as stub, ThreadPoolExecutor(16) as callers:
        assert all(callers.map(lambda n: work(stub, n), range(120)))
    assert max(size for _, size in model.batches) <= 8
