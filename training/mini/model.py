"""The architecture of `mini` and how its folder is written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

IMAGE_SIZE = 128
"""Side of the square input, pixels."""

CONTEXT_LENGTH = 32
"""Tokens per text, start and end included."""

BACKBONE = "mobilenetv2_100"

MODEL_CFG: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {
        "image_size": IMAGE_SIZE,
        "timm_model_name": BACKBONE,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "",
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 49408,
        "width": 96,
        "heads": 6,
        "layers": 3,
    },
}
"""open_clip model configuration. CLIP's 49 408-token table is nearly the whole text tower, so
the width is what 10 MB of float16 allow."""

PREPROCESS_CFG: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "longest",
    "fill_color": 0,
}
"""Crops that are not square keep their shape: the longer side fits, the rest is padded black."""

WEIGHTS_NAME = "open_clip_model.safetensors"
CONFIG_NAME = "open_clip_config.json"


def write_config(folder: Path) -> None:
    """Write `open_clip_config.json`, which makes the folder loadable as `local-dir:<folder>`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def build(folder: Path) -> torch.nn.Module:
    """An untrained model, float32 on the CPU. Writes the configuration into `folder`."""
    write_config(folder)
    model: torch.nn.Module = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.nn.init.normal_(model.get_parameter("token_embedding.weight"), std=0.02)
    return model


def load(folder: Path) -> torch.nn.Module:
    """The model of a folder that `save` wrote, float32 on the CPU, in evaluation mode."""
    model: torch.nn.Module = open_clip.create_model(f"local-dir:{folder}")
    return model.eval()


def save(state: dict[str, torch.Tensor], folder: Path, metadata: dict[str, str]) -> None:
    """Write configuration and weights: float16, except for batch-norm statistics (float32)."""
    write_config(folder)
    tensors = {
        name: (
            value.half() if value.is_floating_point() and "running_" not in name else value.clone()
        ).contiguous()
        for name, value in state.items()
    }
    target = folder / WEIGHTS_NAME
    partial = target.with_suffix(".partial")
    save_file(tensors, partial, metadata={"format": "pt", **metadata})
    partial.chmod(0o644)
    partial.replace(target)
