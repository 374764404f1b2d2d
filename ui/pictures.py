"""Pictures for the page: patches cut out, photos made smaller, both as JPEG."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image, ImageOps

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box

_FORMATS = ("JPEG", "PNG", "WEBP")
_QUALITY = 85


class PictureMaker:
    """Cuts and scales, and remembers what it made, up to `cache_bytes`. Thread-safe."""

    def __init__(self, *, max_pixels: int, cache_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_pixels = max_pixels
        self._cache_bytes = cache_bytes
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def patch(self, content: bytes, box: Box, side: int) -> bytes:
        """The box of a photo, its longer side at most `side` px. JPEG.

        Raises InvalidArgument PHOTO_UNREADABLE, PHOTO_TOO_LARGE or BOX_OUTSIDE_IMAGE.
        """
        return self._once(f"patch{box}{side}", content, lambda: self._patch(content, box, side))

    def photo(self, content: bytes, side: int) -> bytes:
        """A whole photo, its longer side at most `side` px. JPEG; raises as `patch` does."""
        return self._once(f"photo{side}", content, lambda: self._photo(content, side))

    def crop(self, content: bytes, box: Box) -> bytes:
        """The box of a photo in its own pixels, as lossless PNG; raises as `patch` does."""
        image, scale = self._opened(content, None)
        return _encoded(_cut(image, box, scale), "PNG")

    def size(self, content: bytes) -> tuple[int, int]:
        """Width and height of the upright picture; raises as `patch` does."""
        image, _ = self._opened(content, 64)
        with Image.open(io.BytesIO(content), formats=_FORMATS) as plain:
            width, height = plain.size
        turned = (image.width >= image.height) != (width >= height)
        return (height, width) if turned else (width, height)

    def _patch(self, content: bytes, box: Box, side: int) -> bytes:
        image, scale = self._opened(content, None if box.w < 2 * side else side / box.w)
        cut = _cut(image, box, scale)
        cut.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _encoded(cut, "JPEG")

    def _photo(self, content: bytes, side: int) -> bytes:
        image, _ = self._opened(content, side)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _encoded(image, "JPEG")

    def _opened(self, content: bytes, wanted: float | None) -> tuple[Image.Image, float]:
        """The upright picture, and its scale against the full one.

        `wanted`: a scale (below 1) or a side in px that is enough; decoders of JPEG then do less.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                    full = image.size
                    if full[0] * full[1] > self._max_pixels:
                        raise InvalidArgument(
                            "PHOTO_TOO_LARGE",
                            f"photo is {full[0]}x{full[1]} px, over the limit of "
                            f"{self._max_pixels // 1_000_000} megapixels",
                        )
                    if wanted is not None:
                        factor = wanted if wanted < 1 else min(1, wanted / max(full))
                        image.draft(
                            "RGB", (max(1, int(full[0] * factor)), max(1, int(full[1] * factor)))
                        )
                    upright = ImageOps.exif_transpose(image).convert("RGB")
                    return upright, max(upright.size) / max(full)
        except InvalidArgument:
            raise
        # Pillow raises much more than it says for files that are damaged.
        except Exception as error:
            raise InvalidArgument("PHOTO_UNREADABLE", "photo cannot be decoded") from error

    def _once(self, what: str, content: bytes, make: Callable[[], bytes]) -> bytes:
        key = f"{what}/{hashlib.blake2b(content, digest_size=16).hexdigest()}"
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            if key not in self._made:
                self._size += len(made)
            self._made[key] = made
            while self._size > self._cache_bytes and len(self._made) > 1:
                self._size -= len(self._made.popitem(last=False)[1])
        return made


def _cut(image: Image.Image, box: Box, scale: float) -> Image.Image:
    corners = (
        round(box.x * scale),
        round(box.y * scale),
        round(box.right * scale),
        round(box.bottom * scale),
    )
    left, top, right, bottom = corners
    # A pixel of tolerance: the scales of two sides are rounded apart.
    if not (0 <= left < right <= image.width + 1 and 0 <= top < bottom <= image.height + 1):
        raise InvalidArgument(
            "BOX_OUTSIDE_IMAGE", f"box is not in this picture of {image.width}x{image.height} px"
        )
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, quality=_QUALITY, compress_level=1)
    return buffer.getvalue()
