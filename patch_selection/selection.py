"""From photos to patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from patch_selection.region import RegionChoice, choose_in_region, whole_region
from patch_selection.saliency.interface import RgbImage, Saliency, SaliencyMap
from patch_selection.selectors import DEFAULT_SELECTOR, Level, Selector
from patch_selection.windows import WindowArray
from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box


@dataclass(frozen=True, slots=True)
class SelectedPatch:
    """A square of a photo that is worth embedding.

    `box` is in pixels of the photo, `level` counts from 1, `score` is S_id (eq. 3.2), -1..1, and 0
    where the choice was made without scores.
    """

    box: Box
    level: int
    score: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The patches of one photo, never none, and sentences about what did not go as usual.

    All patches of a level come before those of the next. Within a level they go by the rank of the
    region they lie in, and within a region from the highest score down. No box occurs twice.
    """

    patches: tuple[SelectedPatch, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RegionLook:
    """One region of a photo that a level looked at.

    `box` is in pixels of the photo, `level` counts from 1; `rules` are that level's. The windows of
    `found` are in pixels of the region. `saliency_map` is None where the level needs none.
    """

    box: Box
    level: int
    rules: Level
    found: RegionChoice
    saliency_map: SaliencyMap | None


@dataclass(slots=True)
class _Draft:
    """A photo on its way through the levels: what it has so far and where to look next.

    `looks` takes every region that is looked at, None where nobody wants to know.
    """

    photo: RgbImage
    regions: list[Box]
    looks: list[RegionLook] | None = None
    patches: list[SelectedPatch] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    def add(self, patches: Sequence[SelectedPatch], warnings: Sequence[str]) -> None:
        self.patches += patches
        self.regions += [patch.box for patch in patches]
        self.warnings.update(dict.fromkeys(warnings))

    def tell(self, look: RegionLook) -> None:
        if self.looks is not None:
            self.looks.append(look)


@dataclass(slots=True)
class _Look:
    """One region of a photo that a level is to look at."""

    draft: _Draft
    region: Box
    grids: tuple[tuple[int, int], ...] = ()
    fits: bool = False
    saliency_map: SaliencyMap | None = None


def select_patches(
    image: npt.NDArray[np.uint8], saliency: Saliency, selector: Selector = DEFAULT_SELECTOR
) -> Selection:
    """The patches of one photo; see `select_batch`."""
    return select_batch([image], saliency, selector)[0]


def select_batch(
    images: Sequence[npt.NDArray[np.uint8]],
    saliency: Saliency,
    selector: Selector = DEFAULT_SELECTOR,
) -> list[Selection]:
    """The patches of every photo, in order (thesis algorithm 2, and section 3.1.3 for hierarchies).

    Images are (height, width, 3) RGB, or (height, width) or (height, width, 1) grey, uint8, of any
    sizes. The first level looks at the whole photo, each next one at every patch of the level
    before, on a map predicted anew for that patch; a level costs one call of the model for the
    whole batch. A window that is a patch already, since regions overlap, is not chosen
    again, and the region's next best takes its place. A photo in which no window of the first
    level fits becomes one patch, the whole photo. A photo's result does not depend on
    the others. Raises `InvalidArgument` (IMAGE_INVALID) for other arrays. Keeps no state: safe from
    many threads if the model is.
    """
    drafts = [_draft_of(image) for image in images]
    _select(drafts, saliency, selector)
    return [_selection_of(draft) for draft in drafts]


def select_and_tell(
    image: npt.NDArray[np.uint8], saliency: Saliency, selector: Selector = DEFAULT_SELECTOR
) -> tuple[Selection, tuple[RegionLook, ...]]:
    """The patches of one photo, and every region that was looked at for them, level by level.

    As `select_patches`, by the same steps; the looks hold the scores and the fate of all windows.
    """
    looks: list[RegionLook] = []
    draft = _draft_of(image, looks)
    _select([draft], saliency, selector)
    return _selection_of(draft), tuple(looks)


def _draft_of(image: npt.NDArray[np.uint8], looks: list[RegionLook] | None = None) -> _Draft:
    photo = as_rgb(image)
    return _Draft(photo, [Box(0, 0, photo.shape[1], photo.shape[0])], looks)


def _select(drafts: Sequence[_Draft], saliency: Saliency, selector: Selector) -> None:
    for level_index in range(len(selector.levels)):
        _select_level(drafts, saliency, selector, level_index)


def _selection_of(draft: _Draft) -> Selection:
    return Selection(tuple(draft.patches), tuple(draft.warnings))


def as_rgb(image: npt.NDArray[np.uint8]) -> RgbImage:
    """The image as (height, width, 3); a view where it can be. Raises `InvalidArgument`."""
    if image.dtype == np.uint8 and image.size:
        if image.ndim == 3 and image.shape[2] == 3:
            return image
        if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
            grey = image.reshape(image.shape[0], image.shape[1], 1)
            return np.repeat(grey, 3, axis=2)
    raise InvalidArgument(
        "IMAGE_INVALID",
        f"the image is {image.dtype} of shape {image.shape}; it must be uint8 of shape "
        "(height, width, 3) for RGB or (height, width) for grey, with one pixel or more",
    )


def _select_level(
    drafts: Sequence[_Draft], saliency: Saliency, selector: Selector, level_index: int
) -> None:
    level = selector.levels[level_index]
    looks = [_Look(draft, region) for draft in drafts for region in _take_regions(draft)]
    for look in looks:
        height, width = look.draft.photo.shape[:2]
        look.grids = selector.grids(level_index, width, height)
        room = min(look.region.w, look.region.h)
        # The one window that fills a patch of the level before is that patch.
        look.fits = min(side for side, _ in look.grids) <= room - (level_index > 0)
    scored = [look for look in looks if look.fits and not level.keeps_everything]
    if scored:
        maps = saliency.predict([_cut(look.draft.photo, look.region) for look in scored])
        for look, saliency_map in zip(scored, maps, strict=True):
            look.saliency_map = saliency_map
    for look in looks:
        if look.fits:
            _choose(look, level, level_index)
        elif level_index == 0:
            found = whole_region()
            look.draft.add([SelectedPatch(look.region, 1, 0.0)], found.warnings)
            look.draft.tell(RegionLook(look.region, 1, level, found, None))


def _take_regions(draft: _Draft) -> list[Box]:
    regions, draft.regions = draft.regions, []
    return regions


def _cut(photo: RgbImage, region: Box) -> RgbImage:
    return photo[region.y : region.bottom, region.x : region.right]


def _choose(look: _Look, level: Level, level_index: int) -> None:
    region = look.region
    found = choose_in_region(
        look.saliency_map,
        region.w,
        region.h,
        look.grids,
        level,
        taken=_windows_inside(look.draft.patches, region),
        never_empty=level_index == 0,
    )
    windows = found.choice.scores.windows[found.choice.kept].tolist()
    scores = found.choice.scores.inner_difference[found.choice.kept].tolist()
    look.draft.add(
        [
            SelectedPatch(Box(region.x + x, region.y + y, side, side), level_index + 1, score)
            for (x, y, side), score in zip(windows, scores, strict=True)
        ],
        found.warnings,
    )
    look.draft.tell(RegionLook(region, level_index + 1, level, found, look.saliency_map))


def _windows_inside(patches: Sequence[SelectedPatch], region: Box) -> WindowArray:
    inside = [
        (patch.box.x - region.x, patch.box.y - region.y, patch.box.w)
        for patch in patches
        if patch.box.w == patch.box.h and patch.box.intersection(region)
    ]
    return np.array(inside, dtype=np.int64).reshape(-1, 3)
