"""The network of Reddy et al., "Tidying Deep Saliency Prediction Architectures" (IROS 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 256
"""Side of the square that a picture is stretched to, in and out, pixels."""


class SimpleNet(nn.Module):
    """An image classifier's features, and a decoder that brings them back to the input's size.

    `encoder` is a timm model with `features_only`: `pnasnet5large`, `densenet161`, `vgg16` and
    `resnet50` are the paper's. Each step of the decoder doubles the resolution, joins the encoder's
    features of that resolution and convolves them to one of `widths` channels. Where the paper ends
    with a sigmoid, this ends with its logits: their softmax over the pixels is the density.
    """

    def __init__(self, encoder: str, widths: Sequence[int]) -> None:
        """Untrained. Raises ValueError for an encoder that timm does not have, or whose number of
        resolutions is not that of `widths` plus one."""
        super().__init__()
        try:
            self.encoder = timm.create_model(encoder, features_only=True, pretrained=False)
        except RuntimeError as error:
            raise ValueError(f"timm has no encoder {encoder!r} with features ({error})") from error
        channels: list[int] = self.encoder.feature_info.channels()  # type: ignore[union-attr, operator]
        if len(channels) != len(widths) + 1:
            raise ValueError(
                f"encoder {encoder} has features of {len(channels)} resolutions; the decoder needs "
                f"one width fewer than that, and got {len(widths)}"
            )
        self.squeeze = nn.Conv2d(channels[-1], widths[0], 1, bias=False)
        self.squeeze_norm = nn.BatchNorm2d(widths[0])
        inputs = (widths[0], *widths[:-1])
        self.ups = nn.ModuleList(
            _Up(before, skip, after)
            for before, skip, after in zip(inputs, reversed(channels[:-1]), widths, strict=True)
        )
        self.readout = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (n, height, width) of `pictures` (n, 3, height, width), whose values are -1..1."""
        features = self.encoder(pictures)
        decoded = F.relu(self.squeeze_norm(self.squeeze(features[-1])))
        for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
            decoded = up(decoded, skip)
        logits = self.readout(decoded)
        size = pictures.shape[-2:]
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]


class _Up(nn.Module):
    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs + skip, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, decoded: Tensor, skip: Tensor) -> Tensor:
        larger = F.interpolate(decoded, size=skip.shape[-2:], mode="nearest")
        return F.relu(self.norm(self.conv(torch.cat((larger, skip), 1))))
