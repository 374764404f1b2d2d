"""A saliency model that is asked for each map once a photo, and timed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.study.stopwatch import Spent, Stopwatch
from patch_selection import Saliency
from patch_selection.saliency import RgbImage, SaliencyMap

_PROBE_SHAPE = (96, 160, 3)
_PROBE_GRID = 8


@dataclass(frozen=True, slots=True)
class _Remembered:
    image: RgbImage
    """Held so that no other picture can come to lie at its place in memory."""
    map: SaliencyMap
    spent: Spent


class TimedSaliency:
    """Saliency of one photo at a time: several selectors look at the same regions of it.

    A region is known by its place in memory, so maps must be forgotten before the photo's pixels
    change. `asked` and `maps` grow by what was asked for as if nothing had been remembered, `spent`
    by what calls of `predict` really took. One thread at a time.
    """

    def __init__(self, model: Saliency) -> None:
        self._model = model
        self._known: dict[tuple[object, ...], _Remembered] = {}
        self.asked = self.spent = Spent()
        self.maps = 0

    @property
    def name(self) -> str:
        """The name of the model that is asked."""
        return self._model.name

    def forget(self) -> None:
        """Drops all maps."""
        self._known.clear()

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        """See `Saliency.predict`."""
        whole = Stopwatch()
        fresh = {_place(image): image for image in images if _place(image) not in self._known}
        if fresh:
            watch = Stopwatch()
            maps = self._model.predict(list(fresh.values()))
            each = watch.spent().times(1 / len(fresh))
            for (key, image), found in zip(fresh.items(), maps, strict=True):
                self._known[key] = _Remembered(image, found, each)
        known = [self._known[_place(image)] for image in images]
        self.asked = sum((one.spent for one in known), self.asked)
        self.maps += len(known)
        self.spent += whole.spent()
        return [one.map for one in known]


def _place(image: RgbImage) -> tuple[object, ...]:
    return (image.__array_interface__["data"][0], image.shape, image.strides)


def saliency_fingerprint(model: Saliency) -> str:
    """32 hex digits by which selections made with another model, or other weights, are told apart.

    Taken from the map of a fixed picture, so it holds whatever kind the model is: name, weights and
    calibration all show in it.
    """
    rows, columns = np.mgrid[0 : _PROBE_SHAPE[0], 0 : _PROBE_SHAPE[1]]
    probe = np.empty(_PROBE_SHAPE, np.uint8)
    probe[..., 0] = (rows * 2) % 256
    probe[..., 1] = columns
    probe[..., 2] = (rows * columns // 16) % 256
    probe[30:60, 100:130] = (230, 20, 20)
    (found,) = model.predict([probe])
    # Means of cells, in 255ths: the last bits of a network are not the same from run to run.
    cells = [
        round(float(np.nan_to_num(cell).mean()) * 255)
        for band in np.array_split(found, _PROBE_GRID)
        for cell in np.array_split(band, _PROBE_GRID, axis=1)
    ]
    return hashlib.sha256(f"{model.name} {found.shape} {cells}".encode()).hexdigest()[:32]
