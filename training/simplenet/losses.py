"""How far a predicted map is from the map that is wanted (Reddy et al. 2020, section III-C).

All take (n, height, width): `logits`, whose softmax over the pixels is the predicted density, and
`target`, a density that sums to 1. All give the mean over the maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much of each there is; larger correlation and NSS are better, so they are taken off.

    `scale` weighs a smooth L1 distance of the logits, which ties their offset to the teacher's;
    without it only differences within a map are learned.
    """

    divergence: float = 1.0
    correlation: float = 1.0
    log_correlation: float = 0.5
    nss: float = 0.0
    scale: float = 0.2


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the predicted density from the target, nats."""
    predicted = torch.log_softmax(logits.flatten(1), 1)
    wanted = target.flatten(1)
    return (wanted * (torch.log(wanted + _TINY) - predicted)).sum(1).mean()


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of two maps (CC), -1..1."""
    first = one.flatten(1) - one.flatten(1).mean(1, keepdim=True)
    second = other.flatten(1) - other.flatten(1).mean(1, keepdim=True)
    found: Tensor = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1) + 1e-8)
    return found.mean()


def nss(logits: Tensor, target: Tensor) -> Tensor:
    """Normalised scanpath saliency, standard deviations: the mean of the standardised prediction
    where people look. Where no fixations are known, `target` says how often they look where."""
    density = torch.softmax(logits.flatten(1), 1)
    centred = density - density.mean(1, keepdim=True)
    standardised = centred / (centred.std(1, keepdim=True) + _TINY)
    seen: Tensor = standardised * target.flatten(1)
    return seen.sum() / len(logits)


def combined(logits: Tensor, teacher: Tensor, weights: LossWeights) -> Tensor:
    """The loss against a teacher's logits (n, height, width)."""
    target = torch.softmax(teacher.flatten(1), 1).view_as(teacher)
    loss = weights.divergence * divergence(logits, target)
    loss = loss - weights.correlation * correlation(torch.sigmoid(logits), torch.sigmoid(teacher))
    loss = loss - weights.log_correlation * correlation(logits, teacher)
    if weights.nss:
        loss = loss - weights.nss * nss(logits, target)
    return loss + weights.scale * F.smooth_l1_loss(logits, teacher)
