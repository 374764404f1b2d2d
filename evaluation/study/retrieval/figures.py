"""What single queries found as the figures of tables: means over queries, then over classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.study.retrieval.judging import CURVE, Judged
from evaluation.study.retrieval.options import DEPTHS

_DIGITS = 4

ByClass = Mapping[str, Sequence[Judged]]
"""What the queries of each class found; no class without queries."""


def precision_figures(found: ByClass) -> dict[str, Any]:
    """`precision_at_16` {mean, std}, `map`, `chance`, `reachable`, `queries` and `classes`.

    A class's figures are means over its queries, with the standard deviation (of the queries, by
    n); the figures on top are means over classes, `std` too: how much queries of one class differ.
    """
    classes = {name: _class_figures(judged) for name, judged in found.items()}
    return {
        "precision_at_16": {
            key: _mean([one["precision_at_16"][key] for one in classes.values()])
            for key in ("mean", "std")
        },
        **{
            key: _mean([one[key] for one in classes.values()])
            for key in ("map", "chance", "reachable")
        },
        "queries": sum(len(judged) for judged in found.values()),
        "classes": classes,
    }


def object_figures(found: ByClass) -> dict[str, Any]:
    """`objects` {"16": share, ...} found within so many hits, `findable`, `curve` [[hits, share]]
    and the same per class: means over queries, then over classes. Depths that were not asked for
    are not there, nor classes without an object left to find."""
    classes: dict[str, Any] = {}
    for name, judged in found.items():
        told = [
            (one.found, one.findable)
            for one in judged
            if one.found is not None and one.findable is not None and not math.isnan(one.findable)
        ]
        if told:
            curve = np.mean([found for found, _ in told], axis=0).tolist()
            classes[name] = _objects(curve, _mean([findable for _, findable in told]))
    if not classes:
        return {"objects": {}, "findable": None, "curve": [], "classes": {}}
    curves = [[share for _, share in one["curve"]] for one in classes.values()]
    findable = _mean([one["findable"] for one in classes.values()])
    return {**_objects(np.mean(curves, axis=0).tolist(), findable), "classes": classes}


def _objects(curve: Sequence[float], findable: float) -> dict[str, Any]:
    at = {
        hits: _rounded(share)
        for hits, share in zip(CURVE, curve, strict=False)
        if not math.isnan(share)
    }
    return {
        "objects": {str(depth): at[depth] for depth in DEPTHS if depth in at},
        "findable": findable,
        "curve": [[hits, share] for hits, share in at.items()],
    }


def _class_figures(judged: Sequence[Judged]) -> dict[str, Any]:
    precision = np.array([one.precision for one in judged])
    return {
        "precision_at_16": {
            "mean": _rounded(float(precision.mean())),
            "std": _rounded(float(precision.std())),
        },
        "map": _mean([one.average_precision for one in judged]),
        "chance": _rounded(float(np.mean([one.chance for one in judged])), 6),
        "reachable": _mean([one.reachable for one in judged]),
        "queries": len(judged),
    }


def _mean(values: Sequence[float]) -> float:
    return _rounded(math.fsum(values) / len(values), 6) if values else 0.0


def _rounded(value: float, digits: int = _DIGITS) -> float:
    return round(value, digits)
