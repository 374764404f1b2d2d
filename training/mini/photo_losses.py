"""What the image tower learns from views of photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def towards(seen: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of 1 - cosine with the target, by weight. Unit rows `(b, d)`; `weight (b,)` >= 0."""
    return (weight * (1 - (seen * target).sum(dim=1))).sum() / weight.sum().clamp_min(1e-6)


def named(seen: Tensor, vectors: Tensor, label: Tensor, scale: float) -> Tensor:
    """Cross-entropy of naming each image by the nearest of `vectors (n, d)`; rows whose
    `label (b,)` is negative count for nothing."""
    known = label >= 0
    if not bool(known.any()):
        return seen.new_zeros(())
    return F.cross_entropy(scale * seen[known] @ vectors.T, label[known], label_smoothing=0.05)


def relations(seen: Tensor, teacher: Tensor, scale: float) -> Tensor:
    """Divergence of each image's distribution of likeness to the others from the teacher's
    (relational distillation). Unit rows `(b, d)` and `(b, t)`."""
    own = torch.eye(len(seen), dtype=torch.bool, device=seen.device)
    ours = (scale * seen @ seen.T).masked_fill(own, -1e4).log_softmax(dim=1)
    theirs = (scale * teacher @ teacher.T).masked_fill(own, -1e4).softmax(dim=1)
    return F.kl_div(ours, theirs, reduction="batchmean")
