"""Texts to vectors, with prompt templates."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from encoder_service.limits import EncoderLimits
from encoder_service.model import Model, Vectors
from patchsearch.errors import InvalidArgument
from service_runtime.stages import stage

_PLACE = "{}"


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """One unit vector a text, and the positions of texts that were cut at the token limit."""

    vectors: Vectors
    truncated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sentence:
    vector: NDArray[np.float32]
    truncated: bool


class TextEncoder:
    """Embeds texts, and remembers the most recent ones. Thread-safe."""

    def __init__(
        self, model: Model, batcher: Batcher, limits: EncoderLimits, *, remembered: int = 4096
    ) -> None:
        self._model = model
        self._batcher = batcher
        self._limits = limits
        self._remembered = remembered
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, _Sentence] = OrderedDict()

    def encode(self, texts: Sequence[str], templates: Sequence[str], call: Call) -> EncodedTexts:
        """Embeds every text, put into every template where there are any.

        A text's vector is then the normalised mean of its sentences' unit vectors (Radford et al.
        2021, section 3.1.4, prompt ensembling), and it counts as truncated if a sentence is. Raises
        `InvalidArgument` (TEXT_EMPTY, TEMPLATE_INVALID, BATCH_OUT_OF_RANGE), and what `Batcher` and
        `Call` raise.
        """
        self._check(texts, templates)
        patterns = templates or (_PLACE,)
        sentences = [pattern.replace(_PLACE, text) for text in texts for pattern in patterns]
        with stage("model", texts=len(sentences)):
            known = self._embedded(sentences, call)
        vectors = np.empty((len(texts), self._model.card.dim), dtype=np.float32)
        truncated = []
        for position in range(len(texts)):
            start = position * len(patterns)
            group = [known[sentence] for sentence in sentences[start : start + len(patterns)]]
            vectors[position] = _mean_direction([sentence.vector for sentence in group])
            if any(sentence.truncated for sentence in group):
                truncated.append(position)
        return EncodedTexts(vectors, tuple(truncated))

    def _check(self, texts: Sequence[str], templates: Sequence[str]) -> None:
        what = "texts" if not templates else "texts, counted once per template"
        self._limits.check_count(len(texts) * max(len(templates), 1), what)
        for position, text in enumerate(texts):
            if not text.strip():
                raise InvalidArgument(
                    "TEXT_EMPTY",
                    f"text {position} has no characters but white space; write what to look for",
                    metadata={"position": str(position)},
                )
        for template in templates:
            if _PLACE not in template:
                raise InvalidArgument(
                    "TEMPLATE_INVALID",
                    f"template {template[:80]!r} has no {_PLACE}; put {_PLACE} where the text goes",
                )

    def _embedded(self, sentences: Sequence[str], call: Call) -> dict[str, _Sentence]:
        with self._lock:
            known = {text: self._memory[text] for text in sentences if text in self._memory}
        missing = list(dict.fromkeys(text for text in sentences if text not in known))
        if missing:
            tokens = self._model.tokenize(missing)
            vectors = call.wait(self._batcher.submit(tokens.ids, Lane.TEXT, call))
            for text, vector, truncated in zip(missing, vectors, tokens.truncated, strict=True):
                known[text] = _Sentence(vector.copy(), bool(truncated))
        self._remember(known)
        return known

    def _remember(self, sentences: dict[str, _Sentence]) -> None:
        with self._lock:
            for text, sentence in sentences.items():
                self._memory[text] = sentence
                self._memory.move_to_end(text)
            while len(self._memory) > self._remembered:
                self._memory.popitem(last=False)


def _mean_direction(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(vectors) == 1:
        return vectors[0]
    mean = np.mean(np.asarray(vectors, dtype=np.float64), axis=0)
    length = float(np.linalg.norm(mean))
    if length == 0.0:
        return vectors[0]
    return np.asarray(mean / length, dtype=np.float32)
