"""What makes two encoders the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from encoder_service.model import Preprocessing

_HEX_DIGITS = 32
_NOT_ARCHITECTURE = ("timm_model_pretrained", "hf_model_pretrained")


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Hex sha256 over the names, shapes and values (as float32) of all weights, by name.

    The same for every file format and precision that hold the same values.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(torch.float32)
        values = tensor.contiguous().numpy()
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def fingerprint(
    architecture: Mapping[str, Any], digest: str, preprocessing: Preprocessing, dim: int
) -> str:
    """32 hex digits over everything that decides a vector; device and precision do not.

    `architecture` is open_clip's model configuration, `digest` comes from `weights_digest`.
    """
    parts = {
        "architecture": _without_sources(architecture),
        "weights": digest,
        "preprocessing": asdict(preprocessing),
        "dim": dim,
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HEX_DIGITS]


def _without_sources(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out where a tower's first weights came from: the digest says what they are now."""
    return {
        key: _without_sources(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _NOT_ARCHITECTURE
    }
