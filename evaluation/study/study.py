"""The thesis's chapter 4 on any data set, from photos to a report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from evaluation.index_bench.registry import profile_spec
from evaluation.scenes import write_scenes
from evaluation.study.embedding import EncoderChoice, EncoderEmbedder, open_embedder
from evaluation.study.loading import ANNOTATIONS, dataset_digest, load_dataset
from evaluation.study.model import StudyDataset
from evaluation.study.patching import PatchedDataset, PatchingPlan, patch_photos
from evaluation.study.remembering import RememberingEmbedder
from evaluation.study.results import write_results
from evaluation.study.retrieval import RetrievalOptions, run_retrieval
from evaluation.study.selection_figures import (
    curve_rows,
    curve_selectors,
    selection_rows,
    selection_warnings,
)
from evaluation.study.store import StudyStore
from evaluation.study.timed_saliency import saliency_fingerprint
from evaluation.study.timings import timing_rows
from patch_selection import Selector, load_saliency
from patchsearch.errors import FailedPrecondition, InvalidArgument

Progress: TypeAlias = Callable[[str, float], None]
"""Told what is being done, and which share of it is done, 0..1."""


@dataclass(frozen=True)
class Scenes:
    """Generated scenes to study: how many, and their seed."""

    count: int
    seed: int


@dataclass(frozen=True)
class StudyPlan:
    """A study.

    `source`: a folder in COCO's format, or scenes. `limit`: so many photos at most. `saliency`
    None: the default model. `curve`: whether captured objects are measured against patches a photo.
    `retrieval` None: no searches. `report`: folder of the results; `work`: of what is kept so that
    a run that was ended goes on. `workers`: processes. Photos and their order, `seed` and models
    decide all figures but times.
    """

    source: Path | Scenes
    selectors: tuple[Selector, ...]
    report: Path
    work: Path
    encoder: EncoderChoice
    saliency: str | None
    retrieval: RetrievalOptions | None
    limit: int | None
    curve: bool
    seed: int
    workers: int


def run_study(plan: StudyPlan, progress: Progress) -> dict[str, Any]:
    """Runs a study and writes its results and its report; returns the results.

    What an earlier run over the same photos found is taken from `plan.work`. Raises
    PatchsearchError: FOLDER_UNWRITABLE, PROFILE_UNKNOWN, and what `load_dataset`, `open_embedder`,
    `load_saliency`, `StudyStore`, `patch_photos` and `run_retrieval` raise.
    """
    begin = time.perf_counter()
    for profile in plan.retrieval.profiles if plan.retrieval is not None else ():
        profile_spec(profile)  # an unknown one is not to be found out about after an hour
    for folder in (plan.report, plan.work):
        _make(folder)
    saliency = load_saliency() if plan.saliency is None else load_saliency(plan.saliency)
    embedder = open_embedder(plan.encoder, threads=plan.workers)
    dataset = _dataset(plan, progress)
    patching = PatchingPlan(
        embedded=plan.selectors,
        looked_at=curve_selectors(plan.selectors) if plan.curve else (),
        saliency=plan.saliency,
        saliency_mark=saliency_fingerprint(saliency),
        encoder=embedder.choice,
        encoder_mark=embedder.fingerprint,
        workers=plan.workers,
    )
    with StudyStore(plan.work) as store:
        patched = patch_photos(
            dataset, patching, store, lambda done, total: progress("patches", done / total)
        )
        results = {
            **_head(plan, patched, saliency.name, embedder),
            **_selection(plan, patched, progress),
        }
        write_results(plan.report, results)
        retrieval = None
        if plan.retrieval is not None:
            try:
                retrieval = run_retrieval(
                    patched.dataset,
                    patched.tables(),
                    RememberingEmbedder(embedder, store),
                    plan.retrieval,
                    progress,
                )
                results.update(retrieval.as_json())
            except InvalidArgument as error:
                # Few photos, or no classes with objects enough: the rest is worth having.
                if error.reason != "QUERIES_MISSING":
                    raise
                results["notes"].append(f"no searches: {error.message}")
        results["run"]["seconds"] = time.perf_counter() - begin
        write_results(plan.report, results)
        # Imported late: what draws plots takes a second to load.
        from evaluation.study.report import write_report

        progress("report", 0.0)
        write_report(plan.report, results, patched.dataset, retrieval)
        progress("report", 1.0)
    return results


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            "FOLDER_UNWRITABLE", f"cannot make {folder}: {error.strerror}; name another folder"
        ) from error


def _dataset(plan: StudyPlan, progress: Progress) -> StudyDataset:
    if isinstance(plan.source, Path):
        folder = plan.source
    else:
        folder = _scenes(plan.source, plan.work, progress)
    return load_dataset(
        folder,
        limit=plan.limit,
        on_photo=lambda done, total: progress("photos", done / total),
    )


def _scenes(scenes: Scenes, work: Path, progress: Progress) -> Path:
    folder = work / f"scenes-{scenes.count}-{scenes.seed}"
    if not (folder / ANNOTATIONS).is_file():
        done = 0

        def count(_: int) -> None:
            nonlocal done
            done += 1
            progress("scenes", done / scenes.count)

        progress("scenes", 0.0)
        write_scenes(folder, scenes.count, scenes.seed, on_scene=count)
    return folder


def _head(
    plan: StudyPlan, patched: PatchedDataset, saliency: str, embedder: EncoderEmbedder
) -> dict[str, Any]:
    dataset = patched.dataset
    objects = [one for photo in dataset.photos for one in photo.objects]
    return {
        "dataset": {
            "name": dataset.name,
            "digest": dataset_digest(dataset),
            "photos": len(dataset.photos),
            "objects": len(objects),
            "objects_counted": sum(one.counted for one in objects),
            "categories": len(dataset.categories),
            "problems": dataset.problems,
            "problem_examples": dataset.examples,
        },
        "encoder": {
            "name": embedder.name,
            "fingerprint": embedder.fingerprint,
            "device": embedder.device,
        },
        "saliency": {"name": saliency, "fingerprint": patched.plan.saliency_mark},
        "run": {
            "version": metadata.version("patchsearch"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": plan.seed,
            "limit": plan.limit,
            "workers": plan.workers,
            "cores": os.cpu_count(),
        },
        "notes": [],
    }


def _selection(plan: StudyPlan, patched: PatchedDataset, progress: Progress) -> dict[str, Any]:
    progress("captured objects", 0.0)
    found: dict[str, Any] = {
        "selection": selection_rows(patched, plan.seed),
        "curves": curve_rows(patched, plan.seed) if plan.curve else [],
        "timings": timing_rows(patched),
        "warnings": selection_warnings(patched),
    }
    progress("captured objects", 1.0)
    return found
