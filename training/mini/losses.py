"""Contrastive losses with many positives per row and undecided pairs left out."""

from __future__ import annotations

import torch
from torch import Tensor


def multi_positive(logits: Tensor, target: Tensor, undecided: Tensor) -> Tensor:
    """Cross-entropy between each row's softmax and its positives, mean over rows that have any.

    `logits (n, m)`; `target (n, m)` weights >= 0 of the positives; `undecided (n, m) bool` pairs
    count neither as positive nor as negative. With one positive per row this is CLIP's loss; equal
    weights make it the supervised contrastive loss of Khosla et al. 2020 (sum outside the log).
    """
    logits = logits.masked_fill(undecided, float("-inf"))
    target = target.masked_fill(undecided, 0.0)
    total = target.sum(dim=1)
    rows = total > 0
    if not bool(rows.any()):
        return logits.new_zeros(())
    log_share = logits[rows].log_softmax(dim=1).masked_fill(undecided[rows], 0.0)
    return -((target[rows] * log_share).sum(dim=1) / total[rows]).mean()


def text_image(images: Tensor, texts: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
    """Both directions of the text-image loss. Unit rows `(b, d)` and `(t, d)`; `truth (t, b)` holds
    0, 0.5 (undecided) and 1."""
    logits = scale * texts @ images.T
    undecided = truth == 0.5
    target = (truth == 1).to(logits.dtype)
    to_images = multi_positive(logits, target, undecided)
    to_texts = multi_positive(logits.T, target.T, undecided.T)
    return (to_images + to_texts) / 2


def image_image(images: Tensor, target: Tensor, undecided: Tensor, scale: float) -> Tensor:
    """Supervised contrastive loss between the images `(b, d)` of a batch; an image is no pair with
    itself. `target (b, b)`: how much the column shows of what the row mainly shows."""
    own = torch.eye(len(images), dtype=torch.bool, device=images.device)
    return multi_positive(scale * images @ images.T, target, undecided | own)
