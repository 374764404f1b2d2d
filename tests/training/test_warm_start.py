"""The ways into the warm start: a regression, the text tower's short cut, the converted network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from training.mini.measure import Encoder
from training.mini.text import encode
from training.mini.warm_start import ridge
from training.mobilenet.agreement import agreement, read
from training.mobilenet.convert import ARCHITECTURE, convert, load_backbone, save_backbone

BUNDLED = Path(__file__).resolve().parents[2] / "encoder_service" / "bundled" / "mini"
DATA = Path(os.environ.get("PATCHSEARCH_DATA", Path(__file__).resolve().parents[3] / "shared"))
TFLITE = DATA / "models" / "mobilenet" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"


def test_ridge_without_penalty_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 3))
    weight, bias = ridge(torch.tensor(x).float(), torch.tensor(y).float(), 0.0)
    expected = np.linalg.lstsq(np.c_[x, np.ones(50)], y, rcond=None)[0]
    assert np.allclose(weight.numpy(), expected[:-1].T, atol=1e-4)
    assert np.allclose(bias.numpy(), expected[-1], atol=1e-4)


def test_a_penalty_makes_weights_smaller_and_keeps_the_mean() -> None:
    x, y = torch.randn(40, 5) + 3, torch.randn(40, 2) + 7
    free, penalised = ridge(x, y, 0.0), ridge(x, y, 5.0)
    assert penalised[0].norm() < free[0].norm()
    assert torch.allclose((x @ penalised[0].T + penalised[1]).mean(0), y.mean(0), atol=1e-3)


def test_short_texts_get_the_vectors_that_open_clip_gives_them() -> None:
    encoder = Encoder(BUNDLED)
    texts = ["a car", "a photo of a very old and rusty ambulance by the road", ""]
    tokens = encoder.tokenizer(texts)
    with torch.inference_mode():
        assert np.allclose(encode(encoder.model, tokens).numpy(), encoder.texts(texts), atol=1e-5)


@pytest.mark.skipif(not TFLITE.is_file(), reason=f"no {TFLITE}; set PATCHSEARCH_DATA")
def test_the_converted_network_says_what_the_tflite_file_says(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="reads TFLite with ai-edge-litert")
    paths = sorted((DATA / "data" / "coco128" / "images").rglob("*.jpg"))[:16]
    pictures = [read(path) for path in paths]
    net = convert(TFLITE, pictures)
    # What differs is padding: with TensorFlow's the cosine is 0.995, the first class 95 % the same.
    found = agreement(net, TFLITE, pictures)
    assert found.top5 >= 0.8 and found.cosine >= 0.7
    save_backbone(net, tmp_path / "backbone.safetensors")
    trunk = timm.create_model(ARCHITECTURE, num_classes=0)
    trunk.load_state_dict(load_backbone(tmp_path / "backbone.safetensors"), strict=True)
    varying = [v for k, v in trunk.state_dict().items() if k.endswith("running_var")]
    assert all(bool((v > 0).all()) for v in varying)
