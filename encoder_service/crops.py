"""Query crops to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np

from encoder_service.batcher import Batcher
from encoder_service.batching import Lane
from encoder_service.call import Call
from encoder_service.cropping import cut_crops, whole, widened
from encoder_service.decoder import ImageDecoder
from encoder_service.decoding import Subject, check_sides
from encoder_service.limits import EncoderLimits
from encoder_service.model import Model, Pixels, Vectors
from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from service_runtime.stages import stage

_CHUNK = 64
"""Crops that are handed to the model while the next ones of the same call are being decoded."""


@dataclass(frozen=True, slots=True)
class CropInput:
    """An encoded image, and the region of it to embed; all of it where `box` is None."""

    image: bytes
    box: Box | None = None


class CropEncoder:
    """Embeds query crops: decoding on `pool`, the model through `batcher`. Thread-safe."""

    def __init__(
        self,
        model: Model,
        batcher: Batcher,
        pool: Executor,
        decoder: ImageDecoder,
        limits: EncoderLimits,
    ) -> None:
        self._preprocessing = model.card.preprocessing
        self._dim = model.card.dim
        self._batcher = batcher
        self._pool = pool
        self._decoder = decoder
        self._limits = limits

    def encode(self, crops: Sequence[CropInput], call: Call) -> Vectors:
        """One unit vector a crop, in their order.

        A box that is not square is widened with what is around it in its image (`widened`); a
        whole image that is not square goes by the model's own preprocessing. Raises
        `InvalidArgument` (BATCH_OUT_OF_RANGE; naming the crop's position: CROP_UNDECODABLE,
        IMAGE_TOO_LARGE, CROP_TOO_SMALL, BOX_OUTSIDE_IMAGE), and what `Batcher` and `Call` raise.
        """
        self._limits.check_count(len(crops), "crops")
        ready: list[Future[Pixels]] = [
            self._pool.submit(call.attempt(lambda p=p, c=c: self._prepared(p, c)))  # type: ignore[misc]
            for p, c in enumerate(crops)
        ]
        embedding: list[Future[Vectors]] = []
        try:
            with stage("prepare", crops=len(crops)):
                for start in range(0, len(ready), _CHUNK):
                    pixels = np.concatenate([call.wait(f) for f in ready[start : start + _CHUNK]])
                    embedding.append(self._batcher.submit(pixels, Lane.CROP, call))
            with stage("model"):
                return np.concatenate([call.wait(future) for future in embedding])
        except BaseException:
            call.cancel()
            raise

    def _prepared(self, position: int, crop: CropInput) -> Pixels:
        try:
            image = self._decoder.decode(crop.image, Subject.CROP, self._limits.images)
            height, width = image.shape[:2]
            box = whole(image) if crop.box is None else crop.box
            if not box.inside(width, height):
                raise InvalidArgument(
                    "BOX_OUTSIDE_IMAGE",
                    f"box x={box.x} y={box.y} w={box.w} h={box.h} does not lie in the crop's image "
                    f"of {width}x{height} px; use pixels of the upright image",
                )
            check_sides(box.w, box.h, Subject.CROP, self._limits.images)
            if crop.box is not None:
                box = widened(box, width, height)
            return cut_crops(image, [box], self._preprocessing)
        except InvalidArgument as error:
            raise InvalidArgument(
                error.reason,
                f"crop {position}: {error.message}",
                metadata={**error.metadata, "position": str(position)},
            ) from error
