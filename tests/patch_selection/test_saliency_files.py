"""Saliency models in files: networks of our own, LiteRT and ONNX."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.torch import save_file

from patch_selection import load_saliency, load_selector, select_patches
from patch_selection.calibrate import main as calibrate
from patch_selection.saliency import Calibration, load_raw_saliency
from patch_selection.saliency.simplenet.network import SimpleNet
from patch_selection.saliency.simplenet.weights import Weights, digest, read_weights, write_weights
from patchsearch.errors import InvalidArgument

ENCODER, WIDTHS = "mobilenetv3_small_050", (16, 16, 8, 8)
PLAIN = Calibration((-8.0, 8.0), (0.0, 1.0))
DATA = Path(os.environ.get("PATCHSEARCH_DATA", "../shared"))
TEACHER = DATA / "models" / "attention-center" / "saliency_map.tflite"


def photo_with_sign(height: int = 240, width: int = 400) -> NDArray[np.uint8]:
    """Grey grain, and a red disc three quarters to the right."""
    rng = np.random.default_rng(0)
    image = np.full((height, width, 3), 110.0) + rng.normal(0, 6, (height, width, 3))
    pixels = image.clip(0, 255).astype(np.uint8)
    cv2.circle(pixels, (3 * width // 4, height // 2), height // 8, (220, 30, 30), -1)
    return pixels


def untrained(seed: int = 1) -> Weights:
    torch.manual_seed(seed)
    return Weights(ENCODER, WIDTHS, SimpleNet(ENCODER, WIDTHS).eval().state_dict(), PLAIN)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_weights(tmp_path / "weights.safetensors", untrained())
    return tmp_path / "weights.safetensors"


def test_a_network_in_a_file_gives_maps_of_the_whole_picture(weights: Path) -> None:
    model = load_saliency(f"simplenet:{weights}")
    pictures = [photo_with_sign(), photo_with_sign(300, 2400), photo_with_sign(40, 30)]
    maps = model.predict(pictures)
    assert [one.shape for one in maps] == [(256, 256)] * 3
    assert all(one.dtype == np.float32 and 0 <= one.min() <= one.max() <= 1 for one in maps)
    alone = [model.predict([picture])[0] for picture in pictures]
    for one, other in zip(maps, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert model.name == f"simplenet:{weights}"


def test_weights_survive_their_file(weights: Path) -> None:
    found = read_weights(weights)
    assert (found.encoder, found.widths, found.calibration) == (ENCODER, WIDTHS, PLAIN)
    for name, value in untrained().tensors.items():
        np.testing.assert_allclose(found.tensors[name], value, rtol=1e-3, atol=1e-3)


def test_pytorch_files_are_read_with_their_description(tmp_path: Path, weights: Path) -> None:
    tensors = dict(read_weights(weights).tensors)
    torch.save(tensors, tmp_path / "mine.pt")
    description = {
        "format": "simplenet-1",
        "encoder": ENCODER,
        "widths": json.dumps(WIDTHS),
        "sha256": digest(tensors),
    }
    (tmp_path / "mine.pt.json").write_text(json.dumps(description), "utf-8")
    model, calibration = load_raw_saliency(f"simplenet:{tmp_path / 'mine.pt'}")
    assert calibration is None
    assert model.raw([photo_with_sign()])[0].shape == (256, 256)
    with pytest.raises(InvalidArgument, match="-m patch_selection") as raised:
        load_saliency(f"simplenet:{tmp_path / 'mine.pt'}")
    assert raised.value.reason == "CALIBRATION_MISSING"


class Trap:
    """Would run code if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch /tmp/never-made-by-weights",))


def test_files_that_are_something_else_are_refused(tmp_path: Path, weights: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(InvalidArgument) as raised:
            load_saliency(f"simplenet:{path}")
        return raised.value.reason

    assert reason(tmp_path / "nowhere.safetensors") == "SALIENCY_WEIGHTS_MISSING"
    (tmp_path / "text.safetensors").write_text("not tensors", "utf-8")
    assert reason(tmp_path / "text.safetensors") == "SALIENCY_WEIGHTS_INVALID"
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert reason(tmp_path / "other.safetensors") == "SALIENCY_WEIGHTS_INVALID"
    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "trap.pt.json").write_text("{}", "utf-8")
    assert reason(tmp_path / "trap.pt") == "SALIENCY_WEIGHTS_INVALID"

    found = read_weights(weights)
    other = Weights("mobilenetv3_small_075", WIDTHS, found.tensors, PLAIN)
    write_weights(tmp_path / "architecture.safetensors", other)
    assert reason(tmp_path / "architecture.safetensors") == "SALIENCY_WEIGHTS_INVALID"

    data = bytearray(weights.read_bytes())
    data[-5] ^= 16
    (tmp_path / "flipped.safetensors").write_bytes(data)
    assert reason(tmp_path / "flipped.safetensors") == "SALIENCY_WEIGHTS_DAMAGED"


def test_a_network_that_returns_nan_leaves_the_choice_to_even_spacing(tmp_path: Path) -> None:
    tensors = dict(untrained().tensors)
    tensors["readout.bias"] = torch.full((1,), float("nan"))
    write_weights(tmp_path / "nan.safetensors", Weights(ENCODER, WIDTHS, tensors, PLAIN))
    saliency = load_saliency(f"simplenet:{tmp_path / 'nan.safetensors'}")
    found = select_patches(photo_with_sign(), saliency, load_selector("multisize-filtered"))
    assert len(found.patches) > 1
    assert any("not finite" in warning for warning in found.warnings)


def redness(path: Path, channels_first: bool) -> None:
    """An ONNX model whose map is red minus green, at half of its 64 x 96 input."""
    weight = np.array([1.0, -1.0, 0.0], np.float32).reshape(1, 3, 1, 1)
    shape = [1, 3, 64, 96] if channels_first else [1, 64, 96, 3]
    nodes = (
        [] if channels_first else [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])]
    )
    nodes += [
        helper.make_node("Conv", ["x" if channels_first else "t", "w"], ["c"]),
        helper.make_node("AveragePool", ["c"], ["map"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "redness",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 32, 48])],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("size", [(240, 400), (100, 800), (300, 150)])
def test_onnx_maps_cover_the_picture_and_not_its_frame(
    tmp_path: Path, channels_first: bool, size: tuple[int, int]
) -> None:
    redness(tmp_path / "red.onnx", channels_first)
    model, _ = load_raw_saliency(f"onnx:{tmp_path / 'red.onnx'}")
    (found,) = model.raw([photo_with_sign(*size)])
    rows, columns = found.shape
    assert columns / rows == pytest.approx(size[1] / size[0], rel=0.35)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert abs((row + 0.5) / rows - 0.5) < 0.2
    assert abs((column + 0.5) / columns - 0.75) < 0.15


def test_a_model_in_a_file_is_calibrated_by_the_command(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photo_with_sign(480, 720)[:, :, ::-1])
    redness(tmp_path / "red.onnx", True)
    for name in (f"onnx:{tmp_path / 'red.onnx'}", f"simplenet:{weights}"):
        assert calibrate(["--saliency", name, "--store", str(tmp_path / "photo.png")]) == 0
        assert "hierarchical-filtered" in capsys.readouterr().out
        assert load_saliency(name).predict([photo_with_sign()])[0].max() <= 1.0
    assert read_weights(weights).calibration != PLAIN
    # What is bundled is not written over by mistake.
    assert calibrate(["--store", str(tmp_path / "photo.png")]) == 2
    assert "--output" in capsys.readouterr().err


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model", "utf-8")
    with pytest.raises(InvalidArgument) as raised:
        load_raw_saliency(f"onnx:{tmp_path / 'text.onnx'}")
    assert raised.value.reason == "SALIENCY_MODEL_INVALID"
    redness(tmp_path / "red.onnx", True)
    with pytest.raises(InvalidArgument, match="map") as raised:
        load_raw_saliency(f"onnx:{tmp_path / 'red.onnx'}#blueness")
    with pytest.raises(InvalidArgument) as raised:
        load_saliency(f"onnx:{tmp_path / 'red.onnx'}")
    assert raised.value.reason == "CALIBRATION_MISSING"
    with pytest.raises(InvalidArgument) as raised:
        load_saliency("onnx")
    assert raised.value.reason == "SALIENCY_UNKNOWN"


@pytest.mark.skipif(not TEACHER.is_file(), reason=f"needs {TEACHER}")
def test_a_fixation_model_of_litert_looks_at_the_odd_thing_out() -> None:
    model, calibration = load_raw_saliency(f"litert:{TEACHER}")
    assert calibration is None
    (found,) = model.raw([photo_with_sign(480, 800)])
    assert found.shape[1] / found.shape[0] == pytest.approx(800 / 480, rel=0.02)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert abs(column / found.shape[1] - 0.75) < 0.12
    assert abs(row / found.shape[0] - 0.5) < 0.2
