"""What one round of judging brings: precision@16 of the next sixteen patches nobody has judged.

    python -m benchmarks.feedback --out /tmp/feedback

Draws street scenes that nothing was trained on, serves and ingests them, and starts from one crop
at a time. The sixteen hits are judged by the ground truth, and the terms that `ui.feedback` makes
of that are searched. Compared are the next sixteen unjudged patches with and without them. With
`--address` a collection is asked that holds the scenes of `--out` already (ids: the file names).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from evaluation.demo.deployment import served
from evaluation.demo.ingesting import put_in
from evaluation.demo.scene_demo import query_crops
from evaluation.scenes import TARGET_CLASSES, write_scenes
from evaluation.truth import GroundTruth, read_coco
from patchsearch import Client, Crop, Hit, PatchRef, Term
from patchsearch.exports import SetItem, Verdict, item_of
from ui.feedback import KEEP, PUSH, PUSH_EACH, feedback_terms, unjudged
from ui.query_url import DeskTerm

K = 16
_CROP = DeskTerm("crop", "0" * 64)
"""The crop that a session starts from; its pixels are put in where it is searched."""


@dataclass(frozen=True)
class Weights:
    """The three weights of `ui.feedback.feedback_terms`."""

    keep: float = KEEP
    push: float = PUSH
    push_each: float = PUSH_EACH


@dataclass(frozen=True)
class Session:
    """Precision@16 of one session: the first hits, the next without and with feedback."""

    first: float
    without: float
    with_feedback: float


def judge_once(
    client: Client,
    crop: NDArray[np.uint8],
    truth: GroundTruth,
    categories: Sequence[str],
    weights: Weights,
) -> Session:
    """One crop, sixteen judgements, and the next sixteen with and without what they say."""

    def is_right(hit: Hit) -> bool:
        return truth.shows(hit.image_id, hit.box, categories)

    def precision(hits: Sequence[Hit]) -> float:
        return sum(map(is_right, hits)) / K

    def search(terms: Sequence[DeskTerm], judged: Sequence[SetItem]) -> list[Hit]:
        # Several patches of one place can go with one judgement.
        hits = client.search(*(_term(term, crop) for term in terms), k=K + 3 * len(judged)).hits
        return unjudged(hits, judged)[:K]

    first = search([_CROP], ())
    judged = [item_of(h, verdict=Verdict.YES if is_right(h) else Verdict.NO) for h in first]
    improved = feedback_terms([_CROP], judged, **asdict(weights))
    return Session(
        precision(first), precision(search([_CROP], judged)), precision(search(improved, judged))
    )


def measure(
    client: Client, truth: GroundTruth, asked: GroundTruth, weights: Weights
) -> dict[str, list[Session]]:
    """Twenty sessions for each class."""
    sessions: dict[str, list[Session]] = {}
    for name in track(TARGET_CLASSES, "judge", transient=True):
        categories = TARGET_CLASSES[name]
        crops = query_crops(asked, categories)
        sessions[name] = [judge_once(client, c, truth, categories, weights) for c in crops]
    return sessions


def _term(term: DeskTerm, crop: NDArray[np.uint8]) -> Term:
    if term.box is None:
        return Crop(crop, term.weight)
    return PatchRef(term.source, term.box, term.weight)


def _scenes(folder: Path, count: int, seed: int, console: Console) -> GroundTruth:
    annotations = folder / "annotations.json"
    if not annotations.is_file():
        with console.status(f"drawing {count} street scenes"):
            write_scenes(folder, count, seed)
    return read_coco(annotations)


def _table(sessions: Mapping[str, Sequence[Session]]) -> dict[str, dict[str, float]]:
    rows = {
        name: {
            "first": statistics.fmean(one.first for one in found),
            "next_without": statistics.fmean(one.without for one in found),
            "next_with": statistics.fmean(one.with_feedback for one in found),
        }
        for name, found in sessions.items()
    }
    rows["mean"] = {
        column: statistics.fmean(row[column] for row in rows.values())
        for column in ("first", "next_without", "next_with")
    }
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
    parser.add_argument("--keep", type=float, default=KEEP)
    parser.add_argument("--push", type=float, default=PUSH)
    parser.add_argument("--push-each", type=float, default=PUSH_EACH)
    parser.add_argument("--at-least", type=float, default=0.1)
    chosen = parser.parse_args()
    console = Console()
    weights = Weights(chosen.keep, chosen.push, chosen.push_each)
    truth = _scenes(chosen.out / "archive", chosen.scenes, chosen.seed, console)
    asked = _scenes(chosen.out / "queries", chosen.query_scenes, chosen.seed + 1, console)
    with ExitStack() as stack:
        if chosen.address:
            client = stack.enter_context(Client(chosen.address))
        else:
            client = stack.enter_context(served(chosen.out / "data", chosen.encoder, console))
            photos = sorted(truth.folder.glob("*.jpg"))
            put_in(client, photos, chosen.out / "ingest.json", console)
        rows = _table(measure(client, truth, asked, weights))
    gain = rows["mean"]["next_with"] - rows["mean"]["next_without"]
    for name, row in rows.items():
        console.print(f"{name:14s}" + "".join(f"  {key} {value:.3f}" for key, value in row.items()))
    console.print(f"gain {gain:+.3f} with {weights}")
    results = {"precision_at_16": rows, "gain": gain, "weights": asdict(weights)}
    (chosen.out / "feedback.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0 if gain >= chosen.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
