"""One selector at many numbers of patches: what a curve is drawn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from patch_selection import Selector

MOST_PATCHES = 100

_STEPS = 40
_LARGEST_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A selector made to give at most `patches` patches a photo.

    `prefixes`: its first m patches are what it would give if it were asked for m.
    """

    selector: Selector
    patches: int
    prefixes: bool


def budgets(selector: Selector, most: int = MOST_PATCHES) -> list[Budget]:
    """The selector with other numbers of patches, up to `most`, fewest first.

    One level: the greedy choice goes from the best down, so the largest number holds all smaller
    ones. Hierarchies: every level's k is scaled by the same factor, so that their ratio stays.
    A selector that keeps every window has only itself, and no number to vary.
    """
    counts = [level.k for level in selector.levels]
    if any(k is None for k in counts):
        return []
    if len(counts) == 1:
        return [Budget(_with(selector, (most,)), most, prefixes=True)]
    found: dict[tuple[int, ...], Budget] = {}
    first = replace(selector, name=f"{selector.name} 1", levels=(replace(selector.levels[0], k=1),))
    found[(1,)] = Budget(first, 1, prefixes=False)
    for step in range(1, _STEPS + 1):
        factor = _LARGEST_FACTOR * step / _STEPS
        scaled = tuple(max(1, round((k or 1) * factor)) for k in counts)
        total = nominal_patches(scaled)
        if total <= most and scaled not in found:
            found[scaled] = Budget(_with(selector, scaled), total, prefixes=False)
    return sorted(found.values(), key=lambda one: one.patches)


def nominal_patches(counts: tuple[int, ...]) -> int:
    """Patches of a hierarchy that finds all it may: k1 + k1 k2 + ..."""
    total, regions = 0, 1
    for k in counts:
        regions *= k
        total += regions
    return total


def _with(selector: Selector, counts: tuple[int, ...]) -> Selector:
    levels = tuple(replace(level, k=k) for level, k in zip(selector.levels, counts, strict=True))
    name = f"{selector.name} {'x'.join(map(str, counts))}"
    return replace(selector, name=name, levels=levels)
