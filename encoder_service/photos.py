"""Whole photos to patches with vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from encoder_service.cropping import cut_crops
from encoder_service.decoder import ImageDecoder
from encoder_service.decoding import Subject, check_sides
from encoder_service.limits import EncoderLimits
from encoder_service.model import Model, Pixels, Vectors
from encoder_service.photo_slots import PhotoSlots
from encoder_service.pixels import RgbImage
from patch_selection import Saliency, SelectedPatch, Selector, load_selector, select_patches
from service_runtime.stages import stage


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    """A photo's size when upright, its patches (at least one) and their unit vectors, row by row.

    `selection` names selector and saliency model: `hierarchical-filtered/simplenet-mini`.
    """

    width: int
    height: int
    patches: tuple[SelectedPatch, ...]
    vectors: Vectors
    warnings: tuple[str, ...]
    selection: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    width: int
    height: int
    patches: tuple[SelectedPatch, ...]
    warnings: tuple[str, ...]
    first: Pixels
    image: RgbImage | None
    """Only where there are more patches than in `first`."""


class PhotoEncoder:
    """Decodes photos, selects their patches and embeds them. Thread-safe.

    Each photo is decoded once, by `decoder`; `pool` waits for that, selects and cuts; the model
    runs through `batcher`. As many are in work at a time as there are `slots`.
    """

    def __init__(
        self,
        model: Model,
        batcher: Batcher,
        pool: Executor,
        decoder: ImageDecoder,
        limits: EncoderLimits,
        slots: PhotoSlots,
        saliency: Saliency,
        selector: Selector,
        *,
        chunk: int,
    ) -> None:
        self._preprocessing = model.card.preprocessing
        self._batcher = batcher
        self._pool = pool
        self._decoder = decoder
        self._limits = limits
        self._saliency = saliency
        self._selector = selector
        self._chunk = chunk
        self._slots = slots

    def encode(self, image: bytes, selector: str, call: Call) -> EncodedPhoto:
        """The patches of a photo by the selector of this name, the default where empty.

        Raises `InvalidArgument` (IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, IMAGE_TOO_SMALL,
        SELECTOR_UNKNOWN), `ResourceExhausted` (OVERLOADED), and what `Batcher` and `Call` raise.
        """
        chosen = load_selector(selector) if selector else self._selector
        with self._slots.taken():
            with stage("prepare"):
                task = self._pool.submit(call.attempt(lambda: self._prepared(image, chosen, call)))
                photo = call.wait(task)
            with stage("model", patches=len(photo.patches)):
                vectors = [
                    call.wait(self._batcher.submit(pixels, Lane.PATCH, call))
                    for pixels in self._chunks(photo, call)
                ]
        return EncodedPhoto(
            photo.width,
            photo.height,
            photo.patches,
            vectors[0] if len(vectors) == 1 else np.concatenate(vectors),
            photo.warnings,
            f"{chosen.name}/{self._saliency.name}",
        )

    def _prepared(self, data: bytes, selector: Selector, call: Call) -> _Prepared:
        image = self._decoder.decode(data, Subject.IMAGE, self._limits.images)
        height, width = image.shape[:2]
        check_sides(width, height, Subject.IMAGE, self._limits.images)
        call.check()
        selection = select_patches(image, self._saliency, selector)
        call.check()
        first = self._cut(image, selection.patches[: self._chunk])
        kept = image if len(selection.patches) > self._chunk else None
        return _Prepared(width, height, selection.patches, selection.warnings, first, kept)

    def _chunks(self, photo: _Prepared, call: Call) -> Iterator[Pixels]:
        """All patches, as many at a time as the queue takes: a selector without a limit may find
        more in a panorama than fit in memory as crops."""
        yield photo.first
        image = photo.image
        if image is None:
            return
        for start in range(self._chunk, len(photo.patches), self._chunk):
            patches = photo.patches[start : start + self._chunk]
            yield call.wait(self._pool.submit(partial(self._cut, image, patches)))

    def _cut(self, image: RgbImage, patches: Sequence[SelectedPatch]) -> Pixels:
        return cut_crops(image, [patch.box for patch in patches], self._preprocessing)
