"""The program itself, with the bundled model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from encoder_service.opening import default_batch, open_service
from encoder_service.settings import EncoderSettings
from patchsearch.encoder.v1 import encoder_service_pb2 as pb
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from patchsearch.wire.vectors import matrix_from_proto
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "encoder_service", *arguments]


def test_the_program_serves_and_stops(tmp_path: Path, street, encoded):
    ready = tmp_path / "ready.json"
    command = program("--port", "0", "--ready-file", str(ready), "--precision", "float32")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 180
            while not ready.exists() and process.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.05)
            address = f"127.0.0.1:{json.loads(ready.read_text())['port']}"
            with open_channel(address) as channel:
                stub = EncoderServiceStub(channel)
                card = stub.GetEncoder(pb.GetEncoderRequest(), timeout=120)
                assert (card.name, card.dim, card.precision) == ("mini", 512, "float32")
                photo = pb.SelectAndEncodeRequest(image=encoded(street, "JPEG"))
                answer = stub.SelectAndEncode(photo, timeout=120)
                assert matrix_from_proto(answer.vectors).shape == (len(answer.patches), 512)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0
            log = process.stderr.read()
        finally:
            process.kill()
    assert card.fingerprint in log and "model loaded" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["--model", "minni"], 1, "[ENCODER_UNKNOWN]"),
        (["--selector", "nonsense"], 1, "[SELECTOR_UNKNOWN]"),
        (["--saliency", "nonsense"], 1, "[SALIENCY_UNKNOWN]"),
        (["--max-image-mpx", "100000"], 2, "PATCHSEARCH_ENCODER_MAX_IMAGE_MPX"),
        (["--queue-limit", "0"], 2, "--queue-limit"),
    ],
)
def test_mistakes_end_the_program_with_a_message(arguments, status, words):
    done = subprocess.run(program(*arguments), capture_output=True, text=True, timeout=180)
    assert done.returncode == status
    assert words in done.stderr and "Traceback" not in done.stderr


def test_mini_over_grpc_finds_colours_again(street, encoded):
    settings = EncoderSettings(port=0, torch_threads=2, precision="float32")
    service = open_service(settings)
    try:
        with ServiceServer(settings, [service.service], readiness=service.warm_up) as server:
            with open_channel(server.address) as channel:
                stub = EncoderServiceStub(channel)
                pictures = [street[120:200, 80:160], street[200:300, 400:500], street[:90, :90]]
                request = pb.EncodeCropsRequest(
                    crops=[pb.CropImage(image=encoded(p)) for p in pictures]
                )
                crops = matrix_from_proto(stub.EncodeCrops(request, timeout=60).vectors)
                again = matrix_from_proto(stub.EncodeCrops(request, timeout=60).vectors)
                words = pb.EncodeTextsRequest(texts=["a red van"], templates=["a photo of {}"])
                text = matrix_from_proto(stub.EncodeTexts(words, timeout=60).vectors)
    finally:
        service.close()
    assert np.array_equal(np.argmax(crops @ again.T, axis=1), [0, 1, 2])
    assert np.allclose(np.linalg.norm(np.vstack([crops, text]), axis=1), 1, atol=1e-5)


def test_batches_fit_the_speed_of_the_model():
    assert [default_batch(rate) for rate in (None, 1.0, 9.4, 70.0, 450.0, 9000.0)] == [
        256,
        4,
        4,
        16,
        64,
        64,
    ]


def test_every_setting_is_described():
    for name, field in EncoderSettings.model_fields.items():
        assert field.description, name
