"""Indexes of a few thousand rows, built as a sealed segment builds them, and how much they find."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shard_service.index.candidate_index import CandidateIndex
from shard_service.index.codebook import Codebook, codebook_kind, train_codebook
from shard_service.index.faiss_index import build_index, read_index, write_index
from shard_service.index.profiles import Profile
from shard_service.index.threads import use_threads
from shard_service.segments.selection import Selection, selected


@dataclass(frozen=True, eq=False)
class BuiltIndex:
    """An index over (n, dim) float16 `rows`."""

    profile: Profile
    rows: NDArray[np.float16]
    index: CandidateIndex
    inner: object

    def found(
        self,
        query: NDArray[np.float32],
        k: int = 16,
        *,
        within: NDArray[np.bool_] | None = None,
        wanted: int | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
    ) -> NDArray[np.int64]:
        """The best `k` selected rows among the candidates, as a sealed segment asks for them."""
        selection = Selection(len(self.rows)) if within is None else selected(within)
        if wanted is None:
            wanted = max(self.profile.min_candidates, int(k * self.profile.oversample))
        found = self.index.approximate(
            query, wanted, selection.count, selection.selector(), ef, nprobe
        )
        assert len(set(found.tolist())) == len(found)
        found = found[selection.has(found)]
        return found[np.argsort(-self.rows[found].astype(np.float64) @ query)[:k]]

    def recall(
        self,
        queries: NDArray[np.float32],
        found: Callable[[NDArray[np.float32]], NDArray[np.int64]],
        k: int = 16,
        within: NDArray[np.bool_] | None = None,
    ) -> float:
        """The share of the exactly best `k` rows that `found` gives."""
        hits = total = 0
        for query, exact in zip(queries, queries @ self.rows.astype(np.float32).T, strict=True):
            if within is not None:
                exact[~within] = -np.inf
            best = np.argpartition(-exact, k)[:k]
            best = best[np.isfinite(exact[best])]
            hits += len(np.intersect1d(best, found(query)))
            total += len(best)
        return hits / total


def built(
    directory: Path,
    profile: Profile,
    rows: NDArray[np.float32],
    training: NDArray[np.float32],
) -> BuiltIndex:
    """Builds the index of `rows` with what `training` gives, writes it and reads it back."""
    use_threads(1)
    halves = rows.astype(np.float16)
    dim = rows.shape[1]
    codebook = _trained(training.astype(np.float16), profile)
    told: list[float] = []
    inner = build_index(
        profile,
        codebook,
        dim,
        lambda start, end: halves[start:end].astype(np.float32),
        len(rows),
        threading.Event(),
        told.append,
    )
    assert told == sorted(told) and told[-1] == 1.0
    write_index(inner, directory / "index")
    inner = read_index(directory / "index")
    index = CandidateIndex(
        profile,
        None if codebook is None else codebook.transform,
        inner,
    )
    return BuiltIndex(profile, halves, index, inner)


_SAMPLE = 1500
_known: dict[tuple[str, bytes], Codebook] = {}


def _trained(rows: NDArray[np.float16], profile: Profile) -> Codebook | None:
    """Trained on the first rows; once for the profiles of a kind, as training takes seconds."""
    kind = codebook_kind(profile, rows.shape[1])
    if not kind:
        return None
    sample = rows[:_SAMPLE]
    key = kind, sample.tobytes()
    if key not in _known:
        _known[key] = train_codebook(sample.astype(np.float32), profile)
    return _known[key]
