"""Milliseconds a photo by stage, as they were when each photo was worked on."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation.study.patching import PatchedDataset
from evaluation.study.stopwatch import Spent


def timing_rows(patched: PatchedDataset) -> list[dict[str, Any]]:
    """For every selector, what a photo took: a row a stage, and their sum as `total`.

    Rows have `selector`, `stage`, `ms` (mean over photos, by the clock), `cpu_ms` (processor time)
    and `count` (maps, patches or crops a photo). A box that several selectors chose was cut and
    embedded once, so these two stages are the mean of one crop, times the selector's patches. Times
    are of one thread, with the other workers at work beside it.
    """
    photos, store, plan = patched.dataset.photos, patched.store, patched.plan
    states = store.photos()
    decode = _mean([states[photo.digest][0] for photo in photos])
    costs = [
        cost for one in photos for cost in store.embedding_costs(one.digest, plan.encoder_mark)
    ]
    crops = sum(count for count, _, _ in costs)
    cut = sum((cut for _, cut, _ in costs), Spent()).times(1 / crops)
    embed = sum((embed for _, _, embed in costs), Spent()).times(1 / crops)
    rows = []
    for selector in plan.embedded:
        chosen = patched.chosen(selector)
        patches = float(np.mean([len(one.boxes) for one in chosen]))
        maps = float(np.mean([one.maps for one in chosen]))
        stages = {
            "decode": (decode, 1.0),
            "saliency": (_mean([one.saliency for one in chosen]), maps),
            "scoring": (_mean([one.scoring for one in chosen]), patches),
            "crop_resize": (cut.times(patches), patches),
            "embed": (embed.times(patches), patches),
        }
        total = sum((spent for spent, _ in stages.values()), Spent())
        for stage, (spent, count) in (*stages.items(), ("total", (total, 1.0))):
            rows.append(
                {
                    "selector": selector.name,
                    "stage": stage,
                    "ms": spent.ms,
                    "cpu_ms": spent.cpu_ms,
                    "count": count,
                }
            )
    return rows


def _mean(spent: list[Spent]) -> Spent:
    return sum(spent, Spent()).times(1 / len(spent))
