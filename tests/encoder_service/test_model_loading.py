"""Models from every source: bundled, directories, checkpoint files, a hub that is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from encoder_service.cropping import cut_crops, whole
from encoder_service.model_loading import load_encoder
from encoder_service.model_source import BUNDLED_DIR
from encoder_service.precision import find_device
from patchsearch.errors import FailedPrecondition, InvalidArgument

TINY = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_model(path: Path, seed: int = 0, config: dict = TINY, **preprocess: object) -> Path:
    path.mkdir()
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (path / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(seed)
    weights = open_clip.CLIP(**config).state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, path / "open_clip_model.safetensors")
    return path


@pytest.fixture(scope="module", autouse=True)
def few_threads():
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def mini():
    return load_encoder("mini", device="cpu", precision="float32").model


def crops(model, count: int = 5, seed: int = 0) -> np.ndarray:
    """Smooth random pictures at the model's input size."""
    side = model.card.preprocessing.side
    rng = np.random.default_rng(seed)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(count)]
    resized = [Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC) for c in coarse]
    return np.stack([np.asarray(picture) for picture in resized])


def embedded(model, pixels: np.ndarray) -> np.ndarray:
    running = model.begin_images([pixels])
    assert running.done()
    vectors = running.result()
    assert vectors.dtype == np.float32 and vectors.shape == (len(pixels), 512)
    assert vectors.flags.c_contiguous
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    return vectors


def test_mini_embeds_as_open_clip_does(mini):
    reference, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{BUNDLED_DIR / 'mini'}"
    )
    tokenizer = open_clip.get_tokenizer(f"local-dir:{BUNDLED_DIR / 'mini'}")
    reference.eval()
    large = np.asarray(Image.fromarray(crops(mini, 1)[0]).resize((200, 200))).copy()
    words = ["a red van", "an ambulance at night"]
    with torch.inference_mode():
        image = reference.encode_image(preprocess(Image.fromarray(large))[None], normalize=True)
        text = reference.encode_text(tokenizer(words), normalize=True)
    ours = embedded(mini, cut_crops(large, [whole(large)], mini.card.preprocessing))
    assert np.dot(ours[0], image[0].numpy()) > 0.999
    assert np.allclose(mini.begin_texts([mini.tokenize(words).ids]).result(), text, atol=1e-5)


def test_several_arrays_are_one_batch_in_order(mini):
    pixels = crops(mini)
    joined = embedded(mini, pixels)
    apart = mini.begin_images([pixels[:2], pixels[2:3], pixels[3:]]).result()
    assert np.allclose(joined, apart, atol=1e-5)


def test_truncation_is_noticed_at_the_very_token(mini):
    room = mini.card.max_text_tokens - 2  # a start and an end token
    texts = ["van " * room, "van " * (room + 1), "van", "x" * 100_000, "van" + " " * 10_000]
    tokens = mini.tokenize(texts)
    assert tokens.truncated.tolist() == [False, True, False, True, False]
    assert tokens.ids.shape == (5, mini.card.max_text_tokens) and tokens.ids.dtype == np.int64
    assert np.array_equal(tokens.ids[2], tokens.ids[4])


def test_bfloat16_says_nearly_the_same(tiny):
    for name in ("mini", str(tiny)):
        full = load_encoder(name, device="cpu", precision="float32").model
        half = load_encoder(name, device="cpu", precision="bfloat16").model
        assert half.card.precision == "bfloat16"
        assert half.card.fingerprint == full.card.fingerprint
        pixels = crops(full)
        assert np.sum(embedded(full, pixels) * embedded(half, pixels), axis=1).min() > 0.99
        ids = full.tokenize(["a red van", "moose"]).ids
        texts = [model.begin_texts([ids]).result() for model in (full, half)]
        assert np.sum(texts[0] * texts[1], axis=1).min() > 0.99


def test_auto_precision_gives_a_reason(tiny):
    loaded = load_encoder(str(tiny), device="cpu")
    assert loaded.choice.precision in ("float32", "bfloat16")
    assert loaded.choice.crops_per_s > 0 and "crops/s" in loaded.choice.why


class TestFingerprint:
    def fingerprint(self, name: object) -> str:
        mark = load_encoder(str(name), device="cpu", precision="float32").model.card.fingerprint
        assert len(mark) == 32 and int(mark, 16) >= 0
        return mark

    def test_stable(self, mini, tiny):
        assert self.fingerprint("mini") == mini.card.fingerprint
        assert self.fingerprint(BUNDLED_DIR / "mini") == mini.card.fingerprint
        assert self.fingerprint(f"local-dir:{tiny}") == self.fingerprint(tiny)

    def test_of_the_content_not_of_the_file(self, tiny, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        weights = load_file(copy / "open_clip_model.safetensors")
        (copy / "open_clip_model.safetensors").unlink()
        torch.save({"state_dict": weights}, copy / "pytorch_model.bin")
        assert self.fingerprint(copy) == self.fingerprint(tiny)

    def test_changes_with_weights_architecture_and_preprocessing(self, tiny, tmp_path):
        wider = {**TINY, "quick_gelu": True}
        others = [
            write_model(tmp_path / "weights", seed=1),
            write_model(tmp_path / "architecture", config=wider),
            write_model(tmp_path / "preprocessing", interpolation="bilinear"),
            write_model(tmp_path / "framing", resize_mode="squash"),
        ]
        marks = {self.fingerprint(path) for path in (tiny, *others)}
        assert len(marks) == 5

    def test_changes_with_a_single_weight(self, tiny, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        weights = load_file(copy / "open_clip_model.safetensors")
        weights["visual.conv1.weight"][0, 0, 0, 0] += 1e-4
        save_file(weights, copy / "open_clip_model.safetensors")
        assert self.fingerprint(copy) != self.fingerprint(tiny)


def test_a_checkpoint_of_a_known_architecture(tmp_path):
    network = open_clip.create_model("ViT-M-32", precision="fp32")
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    model = load_encoder(
        f"ViT-M-32:{tmp_path / 'vit.safetensors'}", device="cpu", precision="float32"
    ).model
    assert model.card.preprocessing.side == 224 and model.card.max_text_tokens == 77
    pixels = crops(model, 2)
    with torch.inference_mode():
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean, std = (
            torch.tensor(v).view(1, 3, 1, 1)
            for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        expected = network.eval().encode_image((planes - mean) / std, normalize=True)
    assert np.allclose(embedded(model, pixels), expected.numpy(), atol=1e-4)


class TestRefusals:
    def refused(self, kind: type, name: str, **options: str):
        with pytest.raises(kind) as caught:
            load_encoder(name, **{"device": "cpu", "precision": "float32", **options})
        return caught.value

    @pytest.mark.parametrize(
        "name", ["minni", "ViT-B-16", "NoSuchNet:openai", "ViT-B-16:no-such-tag"]
    )
    def test_unknown_names(self, name):
        error = self.refused(InvalidArgument, name)
        assert error.reason == "ENCODER_UNKNOWN"
        assert "mini" in error.message and "model hub" in error.message

    def test_unknown_names_come_with_what_there_is(self):
        assert "'mini'" in self.refused(InvalidArgument, "minni").message
        assert "ViT-B-16" in self.refused(InvalidArgument, "ViT-B-61:openai").message
        assert "openai" in self.refused(InvalidArgument, "ViT-B-16:no-such-tag").message

    def test_missing_files(self, tmp_path):
        config_only = tmp_path / "config-only"
        config_only.mkdir()
        (config_only / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
        (tmp_path / "empty").mkdir()
        for name in (
            str(config_only),
            str(tmp_path / "empty"),
            f"local-dir:{tmp_path / 'nowhere'}",
            f"ViT-B-16:{tmp_path / 'nowhere.pt'}",
        ):
            error = self.refused(FailedPrecondition, name)
            assert error.reason == "ENCODER_WEIGHTS_MISSING", name

    def test_damaged_weights(self, tiny, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        file = copy / "open_clip_model.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
        assert self.refused(FailedPrecondition, str(copy)).reason == "ENCODER_WEIGHTS_INVALID"

    def test_weights_of_another_architecture(self, tiny, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        deeper = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": 3}}
        (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": deeper}))
        assert self.refused(FailedPrecondition, str(copy)).reason == "ENCODER_WEIGHTS_INVALID"

    def test_weights_are_never_code(self, tiny, tmp_path):
        copy, touched = tmp_path / "copy", tmp_path / "touched"
        shutil.copytree(tiny, copy)
        (copy / "open_clip_model.safetensors").unlink()
        torch.save({"state_dict": _Evil(touched)}, copy / "pytorch_model.bin")
        assert self.refused(FailedPrecondition, str(copy)).reason == "ENCODER_WEIGHTS_INVALID"
        assert not touched.exists()

    def test_other_dimensions(self, tmp_path):
        path = write_model(tmp_path / "narrow", config={**TINY, "embed_dim": 256})
        error = self.refused(FailedPrecondition, str(path))
        assert error.reason == "ENCODER_UNSUPPORTED" and "256" in error.message

    @pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense"])
    def test_devices_that_are_not_there(self, device):
        with pytest.raises(FailedPrecondition) as caught:
            find_device(device)
        assert caught.value.reason == "DEVICE_UNAVAILABLE"

    def test_without_the_hub(self, tmp_path):
        code = (
            "from encoder_service.model_loading import load_encoder\n"
            "from patchsearch.errors import FailedPrecondition\n"
            "try:\n    load_encoder('ViT-B-16:openai', device='cpu')\n"
            "except FailedPrecondition as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PATH": "/usr/bin", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "[ENCODER_WEIGHTS_MISSING]" in done.stdout, done.stderr
        for part in ("model hub", "ViT-B-16:/path/to/checkpoint", "mini"):
            assert part in done.stdout


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))
