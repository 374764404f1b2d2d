"""From the TFLite MobileNetV2 to the same network in timm: a warm start for training.

The TFLite file has batch normalisation folded into quantised convolutions. `convert` dequantises
them and gives every batch normalisation back the statistics of real photos, so that the network
computes the same and can be trained on. TensorFlow pads strided convolutions at the right and the
bottom only, timm on all sides: what the layers see moves by some pixels, which training absorbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.mobilenet.tflite import Layer, TfliteNet

ARCHITECTURE = "mobilenetv2_100"

CLASSES = 1001
"""ImageNet's classes behind one for the background."""

INPUT_MEAN = INPUT_STD = 0.5
"""The network takes RGB in -1..1: `(x / 255 - 0.5) / 0.5`."""


def convert(path: Path, photos: Iterable[np.ndarray]) -> nn.Module:
    """The network of the TFLite file at `path` in evaluation mode, float32.

    `photos`: RGB `(224, 224, 3) uint8`, some hundred of them, whose statistics the batch
    normalisations take. Raises ValueError where the file holds another architecture.
    """
    net: nn.Module = timm.create_model(ARCHITECTURE, num_classes=CLASSES).eval()
    _fill(net, TfliteNet(path).layers())
    _calibrate(net, torch.stack([as_input(photo) for photo in photos]))
    return net


def as_input(pixels: np.ndarray) -> Tensor:
    """RGB `(h, w, 3) uint8` as `(3, h, w) float32` in -1..1."""
    scaled = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (scaled - INPUT_MEAN) / INPUT_STD


def backbone(net: nn.Module) -> dict[str, Tensor]:
    """The weights without the classifier."""
    state = net.state_dict()
    return {k: v.contiguous() for k, v in state.items() if not k.startswith("classifier.")}


def save_backbone(net: nn.Module, path: Path) -> None:
    """Write `backbone(net)` as safetensors, float32."""
    save_file(backbone(net), path, metadata={"format": "pt", "architecture": ARCHITECTURE})


def load_backbone(path: Path) -> Mapping[str, Tensor]:
    """What `save_backbone` wrote."""
    return load_file(path)


def _fill(net: nn.Module, layers: list[Layer]) -> None:
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    normalisations = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    classifier = net.get_submodule("classifier")
    if len(layers) != len(convolutions) + 1 or len(normalisations) != len(convolutions):
        raise ValueError(f"expected {len(convolutions) + 1} convolutions, found {len(layers)}")
    with torch.no_grad():
        for module, norm, layer in zip(convolutions, normalisations, layers[:-1], strict=True):
            if tuple(module.weight.shape) != layer.weight.shape:
                raise ValueError(
                    f"{layer.name} is {layer.weight.shape}, expected {tuple(module.weight.shape)}"
                )
            module.weight.copy_(torch.from_numpy(layer.weight))
            norm.running_mean.zero_()  # type: ignore[union-attr]
            norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
            norm.weight.fill_(1)
            norm.bias.copy_(torch.from_numpy(layer.bias))
        last = layers[-1]
        classifier.get_parameter("weight").copy_(torch.from_numpy(last.weight[:, :, 0, 0]))
        classifier.get_parameter("bias").copy_(torch.from_numpy(last.bias))


@torch.no_grad()
def _calibrate(net: nn.Module, photos: Tensor) -> None:
    """Give each batch normalisation the mean and variance of what comes in, and the scale and shift
    that leave its result as it was."""
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d):
            seen = inputs[0].double()
            part = torch.stack([seen.mean((0, 2, 3)), seen.square().mean((0, 2, 3))])
            sums.setdefault(module, []).append(part)

    hooks = [m.register_forward_pre_hook(see) for m in net.modules()]
    for start in range(0, len(photos) - len(photos) % 32, 32):
        net(photos[start : start + 32])
    for hook in hooks:
        hook.remove()
    for norm, parts in sums.items():
        mean, square = torch.stack(parts).mean(0)
        var = (square - mean.square()).clamp_min(1e-6)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(var)  # type: ignore[union-attr]
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.add_(mean)
