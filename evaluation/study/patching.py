"""All photos to patches with vectors, by every selector, taking up where an earlier run ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import patch_selection
from evaluation.study.embedding import EncoderChoice
from evaluation.study.loading import without_photos
from evaluation.study.model import PatchTable, StudyDataset, StudyPhoto
from evaluation.study.photo_work import BoxRow, ChosenPatches, PhotoJob
from evaluation.study.stopwatch import Spent
from evaluation.study.store import StudyStore
from evaluation.study.workers import PhotoWorkers
from patch_selection import Selector

_UNREADABLE = "photo_missing"
"""Why a photo is refused that was there a moment ago: it may be back for the next run."""

IMAGE_LEVEL = "image"
"""Name of the table with one patch a photo."""


@dataclass(frozen=True)
class PatchingPlan:
    """What patches are made with.

    `embedded`: selectors whose patches get vectors. `looked_at`: selectors whose patches are only
    looked at, for curves. `saliency` None: the default model; `saliency_mark` tells its maps from
    those of others, `encoder_mark` the vectors. `workers`: processes.
    """

    embedded: tuple[Selector, ...]
    looked_at: tuple[Selector, ...]
    saliency: str | None
    saliency_mark: str
    encoder: EncoderChoice
    encoder_mark: str
    workers: int


@dataclass(frozen=True)
class PatchedDataset:
    """A data set without the photos that could not be decoded, and the way to what was found."""

    dataset: StudyDataset
    plan: PatchingPlan
    store: StudyStore

    def chosen(self, selector: Selector) -> list[ChosenPatches]:
        """The patches of every photo by a selector of the plan."""
        key = selector_key(selector, self.plan.saliency_mark)
        found = []
        for photo in self.dataset.photos:
            one = self.store.chosen(photo.digest, key)
            if one is None:
                raise KeyError(f"{selector.name} is not in the plan")
            found.append(one)
        return found

    def tables(self) -> dict[str, PatchTable]:
        """Level name -> table: `image`, and every selector whose patches have vectors."""
        names = [IMAGE_LEVEL, *(selector.name for selector in self.plan.embedded)]
        chosen = [self.chosen(selector) for selector in self.plan.embedded]
        vectors: dict[str, list[NDArray[np.float16]]] = {name: [] for name in names}
        for i, photo in enumerate(self.dataset.photos):
            known: dict[BoxRow, NDArray[np.float16]] = {}
            for part in self.store.embedded(photo.digest, self.plan.encoder_mark):
                known.update(zip(map(tuple, part.boxes.tolist()), part.vectors, strict=True))
            vectors[IMAGE_LEVEL].append(known[middle_square(photo)][None])
            for name, by_photo in zip(names[1:], chosen, strict=True):
                boxes = by_photo[i].boxes.tolist()
                vectors[name].append(np.stack([known[tuple(box)] for box in boxes]))
        whole = [_whole(photo) for photo in self.dataset.photos]
        return {
            name: _table(by_photo, vectors[name])
            for name, by_photo in zip(names, [whole, *chosen], strict=True)
        }


def patch_photos(
    dataset: StudyDataset,
    plan: PatchingPlan,
    store: StudyStore,
    on_photo: Callable[[int, int], None],
) -> PatchedDataset:
    """Does what the store does not have yet, photo by photo; each is kept when it is finished.

    `on_photo` is told photos finished and their number. Raises what `PhotoWorkers.results` raises,
    and InvalidArgument (DATASET_EMPTY) where no photo can be decoded.
    """
    total = len(dataset.photos)
    jobs = list(_jobs(dataset, plan, store))
    done = total - len(jobs)
    on_photo(done, total)
    gone: dict[int, str] = {}
    if jobs:
        with PhotoWorkers(min(plan.workers, len(jobs)), plan.saliency, plan.encoder) as workers:
            for result in workers.results(jobs):
                if result.refused == _UNREADABLE:
                    gone[result.photo] = result.refused
                else:
                    store.add(dataset.photos[result.photo].digest, plan.encoder_mark, result)
                done += 1
                on_photo(done, total)
    states = store.photos()
    refused = {
        i: kind
        for i, photo in enumerate(dataset.photos)
        if (kind := gone.get(i) or states[photo.digest][1]) is not None
    }
    return PatchedDataset(without_photos(dataset, refused), plan, store)


def selector_key(selector: Selector, saliency_mark: str) -> str:
    """What a choice of patches depends on but the photo: settings, maps and the code that chooses.

    The selector's name is not among it.
    """
    settings = repr(replace(selector, name=""))
    text = f"{settings} {saliency_mark} {_code_digest()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def middle_square(photo: StudyPhoto) -> BoxRow:
    """What of a whole photo is embedded: its middle square (thesis section 4.3)."""
    side = min(photo.width, photo.height)
    return (photo.width - side) // 2, (photo.height - side) // 2, side, side


def _jobs(dataset: StudyDataset, plan: PatchingPlan, store: StudyStore) -> Iterator[PhotoJob]:
    wanted = {
        selector_key(selector, plan.saliency_mark): selector
        for selector in (*plan.embedded, *plan.looked_at)
    }
    embedded = [selector_key(selector, plan.saliency_mark) for selector in plan.embedded]
    states = store.photos()
    for i, photo in enumerate(dataset.photos):
        if states.get(photo.digest, (None, None))[1] is not None:
            continue
        there = store.keys(photo.digest)
        known = store.embedded_boxes(photo.digest, plan.encoder_mark)
        chosen = _boxes_of(store, photo.digest, [key for key in embedded if key in there])
        job = PhotoJob(
            photo=i,
            path=photo.path,
            selectors={key: one for key, one in wanted.items() if key not in there},
            embedded=frozenset(embedded),
            chosen=chosen,
            known=known,
            extra=(middle_square(photo),),
        )
        if job.selectors or not known.issuperset((*job.chosen, *job.extra)):
            yield job


def _boxes_of(store: StudyStore, digest: str, keys: Sequence[str]) -> tuple[BoxRow, ...]:
    rows: dict[BoxRow, None] = {}
    for key in keys:
        found = store.chosen(digest, key)
        if found is not None:
            rows.update(dict.fromkeys(map(tuple, found.boxes.tolist())))
    return tuple(rows)


def _whole(photo: StudyPhoto) -> ChosenPatches:
    box = np.array([[0, 0, photo.width, photo.height]], np.int32)
    return ChosenPatches(
        box, np.ones(1, np.int32), np.zeros(1, np.float32), (), Spent(), 0, Spent()
    )


def _table(by_photo: Sequence[ChosenPatches], vectors: Sequence[NDArray[np.float16]]) -> PatchTable:
    counts = [len(one.boxes) for one in by_photo]
    return PatchTable(
        photo=np.repeat(np.arange(len(by_photo), dtype=np.int32), counts),
        boxes=np.concatenate([one.boxes for one in by_photo]),
        level=np.concatenate([one.level for one in by_photo]),
        score=np.concatenate([one.score for one in by_photo]),
        vectors=np.concatenate(list(vectors)),
    )


@cache
def _code_digest() -> str:
    """Digest of the package that chooses patches: another version may choose others."""
    digest = hashlib.sha256()
    for path in sorted(Path(patch_selection.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
