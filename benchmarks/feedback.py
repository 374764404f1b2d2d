"""What one round of judging brings: precision@16 of the next sixteen patches nobody has judged.

    python -m benchmarks.feedback --out /tmp/feedback

Draws street scenes that nothing was trained on, serves and ingests them, and starts from one crop
at a time. The sixteen hits are judged by the ground truth, and the terms that `feedback_terms`
makes of that are searched. Compared are the next sixteen unjudged patches with and without them.
Two bounds stand beside them: asked with the mean of every right patch of the collection, and what
whoever knows the right ones could find. With `--address` a collection is asked that holds the
scenes of `--out` already (ids: the file names).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from evaluation.demo.deployment import served
from evaluation.demo.ingesting import put_in
from evaluation.demo.scene_demo import query_crops
from evaluation.relevance import mean_vector, without_overlaps
from evaluation.scenes import TARGET_CLASSES, write_scenes
from evaluation.truth import GroundTruth, read_coco
from patchsearch import Box, Client, Crop, Hit, TermLike, VectorTerm
from patchsearch.exports import SetItem, Verdict, item_of
from patchsearch.feedback import feedback_terms, judged_place, unjudged

K = 16


@dataclass(frozen=True)
class Session:
    """Precision@16 of one session."""

    first: float
    next_without: float
    next_with: float
    next_mean_of_all: float
    """Asked with the mean of every right patch of the collection, as if all had been accepted."""
    next_possible: float
    """Of right patches alone, as far as there are any left."""


@dataclass(frozen=True)
class Right:
    """The patches of a collection that show one class."""

    places: Sequence[tuple[str, Box]]
    mean: VectorTerm

    def left(self, judged: Sequence[SetItem]) -> int:
        """How many places that do not overlap nobody has judged."""
        ids, boxes = [], []
        for image_id, box in self.places:
            if judged_place(image_id, box, judged) is None:
                ids.append(image_id)
                boxes.append(box)
        return len(without_overlaps([0.0] * len(ids), ids, boxes))


def right_patches(client: Client, truth: GroundTruth) -> dict[str, Right]:
    """Every stored patch that shows a class, by class."""
    places: dict[str, list[tuple[str, Box]]] = {name: [] for name in TARGET_CLASSES}
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in TARGET_CLASSES}
    fingerprint = client.describe().fingerprint
    for image_id in truth.objects:
        detail = client.get(image_id, include_vectors=True)
        for at, patch in enumerate(detail.patches):
            for name, categories in TARGET_CLASSES.items():
                if detail.vectors is not None and truth.shows(image_id, patch.box, categories):
                    places[name].append((image_id, patch.box))
                    vectors[name].append(detail.vectors[at])
    return {
        name: Right(places[name], VectorTerm(mean_vector(vectors[name]), fingerprint))
        for name in TARGET_CLASSES
    }


def judge_once(
    client: Client,
    crop: Crop,
    is_right: Callable[[Hit], bool],
    right: Right,
) -> Session:
    """One crop, sixteen judgements, and the next sixteen with and without what they say."""

    def precision(hits: Sequence[Hit]) -> float:
        return sum(map(is_right, hits)) / K

    def search(terms: Sequence[TermLike], judged: Sequence[SetItem]) -> list[Hit]:
        # Several patches of one place can go with one judgement.
        return unjudged(client.search(*terms, k=K + 3 * len(judged)), judged)[:K]

    first = search([crop], ())
    judged = [item_of(h, verdict=Verdict.YES if is_right(h) else Verdict.NO) for h in first]
    return Session(
        first=precision(first),
        next_without=precision(search([crop], judged)),
        next_with=precision(search(feedback_terms([crop], judged), judged)),
        next_mean_of_all=precision(search([right.mean], judged)),
        next_possible=min(K, right.left(judged)) / K,
    )


def measure(client: Client, truth: GroundTruth, asked: GroundTruth) -> dict[str, list[Session]]:
    """Twenty sessions for each class."""
    right = right_patches(client, truth)
    sessions: dict[str, list[Session]] = {}
    for name in track(TARGET_CLASSES, "judge", transient=True):
        categories = TARGET_CLASSES[name]

        def is_right(hit: Hit, categories: Sequence[str] = categories) -> bool:
            return truth.shows(hit.image_id, hit.box, categories)

        sessions[name] = [
            judge_once(client, Crop(crop), is_right, right[name])
            for crop in query_crops(asked, categories)
        ]
    return sessions


def _scenes(folder: Path, count: int, seed: int, console: Console) -> GroundTruth:
    annotations = folder / "annotations.json"
    if not annotations.is_file():
        with console.status(f"drawing {count} street scenes"):
            write_scenes(folder, count, seed)
    return read_coco(annotations)


def _table(sessions: Mapping[str, Sequence[Session]]) -> dict[str, dict[str, float]]:
    columns = [field.name for field in fields(Session)]
    rows = {
        name: {
            column: statistics.fmean(getattr(one, column) for one in found) for column in columns
        }
        for name, found in sessions.items()
    }
    rows["mean"] = {c: statistics.fmean(row[c] for row in rows.values()) for c in columns}
    return rows


def main() -> int:
    """Prints and writes the precisions; status 1 where feedback gains less than `--at-least`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="where scenes and results go")
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--query-scenes", type=int, default=110)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoder", default="mini")
    parser.add_argument("--address", help="a router whose collection holds these scenes already")
    parser.add_argument("--at-least", type=float, default=0.1)
    chosen = parser.parse_args()
    console = Console()
    truth = _scenes(chosen.out / "archive", chosen.scenes, chosen.seed, console)
    asked = _scenes(chosen.out / "queries", chosen.query_scenes, chosen.seed + 1, console)
    with ExitStack() as stack:
        if chosen.address:
            client = stack.enter_context(Client(chosen.address))
        else:
            client = stack.enter_context(served(chosen.out / "data", chosen.encoder, console))
            photos = sorted(truth.folder.glob("*.jpg"))
            put_in(client, photos, chosen.out / "ingest.json", console)
        rows = _table(measure(client, truth, asked))
    gain = rows["mean"]["next_with"] - rows["mean"]["next_without"]
    for name, row in rows.items():
        console.print(f"{name:14s}" + "".join(f"  {key} {value:.3f}" for key, value in row.items()))
    console.print(f"gain {gain:+.3f}")
    results = {"precision_at_16": rows, "gain": gain}
    (chosen.out / "feedback.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0 if gain >= chosen.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
