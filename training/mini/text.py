"""The text tower alone: a short cut for short texts, and what it learns of names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.mini.words import WORD_TEMPLATES, Words

NAME_SCALE = 20.0
"""Inverse temperature of telling a name's vector from those of all other names."""


def encode(model: nn.Module, tokens: Tensor) -> Tensor:
    """Unit vectors `(n, 512)` of tokens `(n, context)`, as open_clip's `encode_text` gives them,
    but without the padding that no text of the batch needs: attention is causal, so what follows
    the end of a text cannot change its vector."""
    end = tokens.argmax(dim=-1)
    length = int(end.max()) + 1
    tokens = tokens[:, :length]
    x = model.get_submodule("token_embedding")(tokens)
    x = x + model.get_parameter("positional_embedding")[:length]
    mask = model.get_buffer("attn_mask")[:length, :length]
    x = model.get_submodule("transformer")(x, attn_mask=mask)
    x = model.get_submodule("ln_final")(x)
    last = x[torch.arange(len(x), device=x.device), end]
    return F.normalize((last @ model.get_parameter("text_projection")).float(), dim=-1)


def sentences(names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Each name in a random template, with the right article."""
    return [article(WORD_TEMPLATES[int(rng.integers(len(WORD_TEMPLATES)))], n) for n in names]


def article(template: str, name: str) -> str:
    """The template with the name, "a" made "an" where it must be."""
    if name[:1] in "aeiou" and not name.startswith(("one", "uni", "use", "uku")):
        template = template.replace("a {}", "an {}")
    return template.format(name)


def name_loss(said: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
    """How far texts `(n, 512)` are from the vectors of their `rows (n,)`, and how well they are
    told from all others `(names, 512)`. Unit rows."""
    near = 1 - (said * vectors[rows]).sum(dim=1).mean()
    return near + 0.5 * F.cross_entropy(NAME_SCALE * said @ vectors.T, rows)


def draw(words: Words, count: int, emphasis: int, rng: np.random.Generator) -> list[int]:
    """Rows of `count` names, a third of them among the first `emphasis`."""
    common = rng.integers(emphasis, size=count // 3)
    rest = rng.integers(len(words.names), size=count - len(common))
    return [int(row) for row in np.concatenate([common, rest])]
