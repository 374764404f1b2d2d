"""What the encoder accepts, and the errors for what it does not."""

from __future__ import annotations

from dataclasses import dataclass

from encoder_service.decoding import ImageLimits
from patchsearch.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class EncoderLimits:
    """`images`: limits of every image. `max_call_items`: most texts, counted once per template, or
    crops in a call. `max_photos`: photos in work at a time; the next one is told to come back."""

    images: ImageLimits
    max_call_items: int = 1024
    max_photos: int = 8

    def check_count(self, count: int, what: str) -> None:
        """Raises `InvalidArgument` (BATCH_OUT_OF_RANGE) unless `count` is 1 to `max_call_items`."""
        if not 1 <= count <= self.max_call_items:
            raise InvalidArgument(
                "BATCH_OUT_OF_RANGE",
                f"the call has {count} {what}; send 1 to {self.max_call_items}",
            )
