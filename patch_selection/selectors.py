"""The selectors: which windows are scored, and how many of them are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from patch_selection.windows import MIN_WINDOW_SIDE
from patchsearch.errors import InvalidArgument

REFERENCE_SHORT_SIDE = 2168
"""Short side in pixels of the photos (3848 x 2168) that the thesis's window sizes are meant for."""

MIN_SCALED_SIDE = 64
"""A window is never scaled down below this many pixels: less holds nothing that can be embedded."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a selector: window grids and the rules by which windows of a region are kept.

    `sizes` and `strides` go pairwise, in pixels (of a photo at the selector's reference short side,
    if it has one). `min_average`, 0..1: windows with a lower S_apv (eq. 3.1) are dropped. `k`: at
    most so many windows are kept in a region. `max_overlap`, 0..1: the largest share of the larger
    window that two kept windows may have in common. None switches a rule off; with all three off
    every window is kept and no saliency map is needed. Raises `InvalidArgument` (SELECTOR_INVALID).
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    min_average: float | None = None
    k: int | None = None
    max_overlap: float | None = None

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.strides):
            raise _invalid(
                f"a level has {len(self.sizes)} sizes and {len(self.strides)} strides; "
                "give at least one size and a stride for each"
            )
        if min(self.sizes) < MIN_WINDOW_SIDE:
            raise _invalid(
                f"window size {min(self.sizes)} px; the smallest is {MIN_WINDOW_SIDE} px"
            )
        if min(self.strides) < 1:
            raise _invalid(f"stride {min(self.strides)} px; the smallest is 1 px")
        if self.k is not None and self.k < 1:
            raise _invalid(f"k is {self.k}; it must be 1 or more, or None for all windows")
        for name, share in (("min_average", self.min_average), ("max_overlap", self.max_overlap)):
            if share is not None and not 0.0 <= share <= 1.0:
                raise _invalid(f"{name} is {share}; it must lie in 0..1, or be None for no limit")

    @property
    def keeps_everything(self) -> bool:
        """Whether no rule is on, so that windows need no scores."""
        return self.min_average is None and self.k is None and self.max_overlap is None


@dataclass(frozen=True, slots=True)
class Selector:
    """A named way of choosing patches: the levels of the hierarchy, from the whole photo down.

    `reference_short_side`: the sizes and strides are given for photos of this short side and scale
    with that of the photo at hand, down to `MIN_SCALED_SIDE`; None means they are pixels as they
    are. Raises `InvalidArgument` (SELECTOR_INVALID) if there is no level.
    """

    name: str
    levels: tuple[Level, ...]
    reference_short_side: int | None = REFERENCE_SHORT_SIDE

    def __post_init__(self) -> None:
        if not self.levels:
            raise _invalid(f"selector {self.name!r} has no levels; it needs one or more")
        if self.reference_short_side is not None and self.reference_short_side < 1:
            raise _invalid(
                f"reference_short_side is {self.reference_short_side}; "
                "it must be 1 or more, or None for sizes in pixels"
            )

    def grids(self, level: int, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(side, stride) in whole pixels for `levels[level]` in a photo of `width` x `height`.

        Sizes are rounded to the nearest pixel. A stride keeps its ratio to its size, also where
        the size is held at `MIN_SCALED_SIDE`. Sizes that become equal by that give one grid, with
        the smallest of their strides. `width` and `height` are those of the photo at every level.
        """
        grids: dict[int, int] = {}
        for size, stride in zip(self.levels[level].sizes, self.levels[level].strides, strict=True):
            side = size
            if self.reference_short_side is not None:
                scale = min(width, height) / self.reference_short_side
                side = max(MIN_SCALED_SIDE, round(size * scale))
                stride = max(1, round(side * stride / size))
            grids[side] = min(stride, grids.get(side, stride))
        return tuple(grids.items())


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument("SELECTOR_INVALID", message)


BASELINE_UNFILTERED = Selector("baseline-unfiltered", (Level((448,), (224,)),))
BASELINE_FILTERED = Selector(
    "baseline-filtered", (Level((448,), (224,), min_average=0.05, k=35, max_overlap=0.25),)
)
MULTISIZE_FILTERED = Selector(
    "multisize-filtered",
    (Level((896, 448, 224), (224, 112, 56), min_average=0.05, k=35, max_overlap=0.25),),
)
HIERARCHICAL_FILTERED = Selector(
    "hierarchical-filtered",
    (
        Level((896,), (224,), min_average=0.05, k=5, max_overlap=0.25),
        Level((448, 224), (112, 56), min_average=0.3, k=6, max_overlap=0.25),
    ),
)
MULTISIZE_REFINED = Selector(
    "multisize-refined",
    (
        Level((896, 448, 224), (224, 112, 56), min_average=0.05, k=23, max_overlap=0.25),
        Level((224,), (56,), min_average=0.3, k=1, max_overlap=0.25),
    ),
)
"""Not the thesis's: all sizes at the first level, and the best small window inside each of them. It
captures more small objects than `hierarchical-filtered` with as many patches (docs/selection.md),
and asks for about three times as many saliency maps."""

DEFAULT_SELECTOR = HIERARCHICAL_FILTERED

SELECTORS: Mapping[str, Selector] = MappingProxyType(
    {
        selector.name: selector
        for selector in (
            BASELINE_UNFILTERED,
            BASELINE_FILTERED,
            MULTISIZE_FILTERED,
            HIERARCHICAL_FILTERED,
            MULTISIZE_REFINED,
        )
    }
)
"""The thesis's four selectors (tables A.1 to A.4) and ours, by name."""


def load_selector(name: str) -> Selector:
    """The preset of this name. Raises `InvalidArgument` (SELECTOR_UNKNOWN) with the known names."""
    try:
        return SELECTORS[name]
    except KeyError:
        raise InvalidArgument(
            "SELECTOR_UNKNOWN", f"unknown selector {name!r}; known are {', '.join(SELECTORS)}"
        ) from None
