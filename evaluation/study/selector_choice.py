"""Which selectors a study compares."""

from __future__ import annotations

from collections.abc import Sequence

from patch_selection import DEFAULT_SELECTOR, SELECTORS, Selector, load_selector


def chosen_selectors(names: Sequence[str]) -> tuple[Selector, ...]:
    """The selectors of these names; without names all presets, the thesis's four first.

    None occurs twice. Raises InvalidArgument (SELECTOR_UNKNOWN).
    """
    chosen = [load_selector(name) for name in names] or [*SELECTORS.values(), DEFAULT_SELECTOR]
    return tuple({one.name: one for one in chosen}.values())
