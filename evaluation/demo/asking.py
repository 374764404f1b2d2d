"""One query of the demo, timed, and its contact sheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchsearch import Client, Hit
from patchsearch.query import TermLike
from patchsearch.sheet import SheetHit, contact_sheet


@dataclass(frozen=True, eq=False)
class Answer:
    """What was asked and found. `milliseconds` is the caller's wall time."""

    title: str
    shown: Sequence[NDArray[np.uint8]]
    """The query's pictures, (h, w, 3) RGB; none for a text."""
    hits: Sequence[Hit]
    milliseconds: float


def ask(
    client: Client,
    title: str,
    terms: Sequence[TermLike],
    shown: Sequence[NDArray[np.uint8]],
    k: int,
) -> Answer:
    """Searches and takes the time."""
    begin = time.perf_counter()
    result = client.search(*terms, k=k)
    return Answer(title, shown, result.hits, (time.perf_counter() - begin) * 1000)


def draw_sheet(
    answer: Answer, path: Path, photos: Path, correct: Callable[[Hit], bool] | None = None
) -> None:
    """Writes the answer as a PNG; `photos` holds the images under their ids."""
    hits = [
        SheetHit(
            photos / hit.image_id,
            hit.box,
            hit.score,
            hit.image_id,
            correct(hit) if correct else None,
        )
        for hit in answer.hits
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(answer.title, list(answer.shown), hits).save(path, optimize=True)
