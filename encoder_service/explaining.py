"""Whole photos to an explanation of which patches are chosen in them."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass

from encoder_service.call import Call
from encoder_service.decoder import ImageDecoder
from encoder_service.decoding import Subject, check_sides
from encoder_service.limits import EncoderLimits
from encoder_service.photo_slots import PhotoSlots
from patch_selection import Explanation, Saliency, Selector, explain_selection, load_selector
from patchsearch.errors import InvalidArgument
from service_runtime.stages import stage

MAX_WINDOWS = 10_000
"""Most windows in one answer: half a megabyte."""
DEFAULT_WINDOWS = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedPhoto:
    """A photo's size when upright, why its patches are its patches, and how long that took."""

    width: int
    height: int
    selection: str
    """Names selector and saliency model."""
    explanation: Explanation
    decode_ms: float
    select_ms: float


class SelectionExplainer:
    """Decodes photos and explains what a selector chooses in them. Thread-safe.

    As costly as the first half of `PhotoEncoder.encode`, and bounded with it by the same `slots`
    and the same `pool`; the model of the encoder is not used.
    """

    def __init__(
        self,
        pool: Executor,
        decoder: ImageDecoder,
        limits: EncoderLimits,
        slots: PhotoSlots,
        saliency: Saliency,
        selector: Selector,
    ) -> None:
        self._pool = pool
        self._decoder = decoder
        self._limits = limits
        self._slots = slots
        self._saliency = saliency
        self._selector = selector

    def explain(self, image: bytes, selector: str, max_windows: int, call: Call) -> ExplainedPhoto:
        """The selection of a photo by the selector of this name, the default where empty.

        `max_windows` 0 stands for `DEFAULT_WINDOWS`. Raises `InvalidArgument` (IMAGE_UNDECODABLE,
        IMAGE_TOO_LARGE, IMAGE_TOO_SMALL, SELECTOR_UNKNOWN, MAX_WINDOWS_OUT_OF_RANGE),
        `ResourceExhausted` (OVERLOADED), and what `Call` raises.
        """
        if max_windows > MAX_WINDOWS:
            raise InvalidArgument(
                "MAX_WINDOWS_OUT_OF_RANGE",
                f"max_windows is {max_windows}; ask for 1 to {MAX_WINDOWS} windows",
            )
        chosen = load_selector(selector) if selector else self._selector
        most = max_windows or DEFAULT_WINDOWS
        with self._slots.taken(), stage("explain"):
            work = call.attempt(lambda: self._explained(image, chosen, most, call))
            return call.wait(self._pool.submit(work))

    def _explained(self, data: bytes, selector: Selector, most: int, call: Call) -> ExplainedPhoto:
        began = time.perf_counter()
        image = self._decoder.decode(data, Subject.IMAGE, self._limits.images)
        height, width = image.shape[:2]
        check_sides(width, height, Subject.IMAGE, self._limits.images)
        call.check()
        decoded = time.perf_counter()
        explanation = explain_selection(image, self._saliency, selector, most)
        return ExplainedPhoto(
            width,
            height,
            f"{selector.name}/{self._saliency.name}",
            explanation,
            decode_ms=(decoded - began) * 1e3,
            select_ms=(time.perf_counter() - decoded) * 1e3,
        )
