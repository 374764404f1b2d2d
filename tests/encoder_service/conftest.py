"""A fake model, encoded pictures, and encoders served over real gRPC."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

# Read when torch is loaded, which the imports below do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
from PIL import Image

from encoder_service.service import make_service
from encoder_service.settings import EncoderSettings
from patch_selection import load_saliency, load_selector
from patchsearch.encoder.v1.encoder_service_pb2_grpc import EncoderServiceStub
from service_runtime.clients import open_channel
from service_runtime.server import ServiceServer


def _load(name: str) -> ModuleType:
    # Test folders are no packages, so what they share is loaded by its path.
    full = f"encoder_service_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def fake_model() -> type:
    """The class FakeModel."""
    return _load("fake_model").FakeModel


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Encodes an array or a Pillow image: `encoded(array, "JPEG", quality=90)`."""

    def encode(picture: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(picture)
        out = io.BytesIO()
        picture.save(out, kind, **options)
        return out.getvalue()

    return encode


@pytest.fixture(scope="session")
def street() -> np.ndarray:
    """A smooth (360, 640, 3) picture with one red, one blue and one checkered block on it."""
    y, x = np.mgrid[0:360, 0:640]
    picture = np.stack([60 + x / 16, 90 + y / 8, 120 + 0 * x], axis=2).astype(np.uint8)
    picture[120:200, 80:160] = (220, 20, 20)
    picture[200:300, 400:520] = (20, 20, 230)
    picture[40:100, 300:400] = np.where((x + y)[40:100, 300:400, None] // 8 % 2, 255, 0)
    return picture


@pytest.fixture
def serve() -> Iterator[Callable[..., EncoderServiceStub]]:
    """Serves a model: `serve(model, queue_limit=8)`; more keywords are settings."""

    @contextmanager
    def running(model: object, *, max_batch: int = 8, **options: object):
        settings = EncoderSettings(
            port=0, preprocess_threads=2, **{"selector": "multisize-filtered", **options}
        )
        service = make_service(
            settings,
            model,
            load_saliency(settings.saliency),
            load_selector(settings.selector),
            max_batch=max_batch,
        )
        with ServiceServer(settings, [service.service]) as server:
            with open_channel(server.address) as channel:
                yield EncoderServiceStub(channel)
            gate = getattr(model, "gate", None)
            if gate is not None:
                gate.release(10_000)
        service.close()

    return running
