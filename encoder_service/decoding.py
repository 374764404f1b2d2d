"""From the bytes that a caller sent to upright RGB pixels, or to an error that says why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from encoder_service.pixels import RgbImage, rgb_pixels
from patchsearch.errors import InvalidArgument, PatchsearchError

FORMATS = ("JPEG", "PNG", "WEBP")
"""What may be decoded. Pillow knows some forty formats more, and each is a parser to attack."""

MAX_SETTABLE_MPX = 178
"""Above this many million pixels Pillow itself refuses an image."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Subject(Enum):
    """What the bytes are to the caller, which decides the reason and the words of an error."""

    CROP = "crop"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """`max_pixels`: most pixels of an image, by its header. `min_side`: least side, in pixels."""

    max_pixels: int = 64_000_000
    min_side: int = 8


def decode(data: bytes, subject: Subject, limits: ImageLimits) -> RgbImage:
    """The pixels of a JPEG, PNG or WebP, (height, width, 3) uint8 RGB, C-contiguous and writable.

    Upright: EXIF orientation is applied; a damaged EXIF block counts as none. Of an animation, the
    first frame. Transparent pixels are laid on white. 16-bit values are scaled to 8 bits. The pixel
    count is checked before anything is decoded. Raises `InvalidArgument` (CROP_UNDECODABLE or
    IMAGE_UNDECODABLE, IMAGE_TOO_LARGE) and nothing else. Sides are not checked; see `check_sides`.
    """
    if not data:
        raise _undecodable(subject, "it has no bytes")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _check_pixel_count(picture.width, picture.height, subject, limits)
            picture.load()
            return rgb_pixels(_upright(picture))
    except PatchsearchError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidArgument("IMAGE_TOO_LARGE", f"{subject.value}: {error}") from error
    except UnidentifiedImageError as error:
        raise _undecodable(subject, "its content is none of them") from error
    except Exception as error:
        # Pillow's parsers raise OSError, SyntaxError, struct.error, ValueError, IndexError,
        # KeyError, OverflowError, MemoryError and others on damaged input.
        raise _undecodable(subject, str(error) or type(error).__name__) from error


def check_sides(width: int, height: int, subject: Subject, limits: ImageLimits) -> None:
    """Raises `InvalidArgument` (CROP_TOO_SMALL, IMAGE_TOO_SMALL) when a side is below the limit."""
    if min(width, height) < limits.min_side:
        raise InvalidArgument(
            f"{subject.name}_TOO_SMALL",
            f"{subject.value} is {width}x{height} px; the smallest side must be "
            f"{limits.min_side} px or more",
        )


def _check_pixel_count(width: int, height: int, subject: Subject, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise InvalidArgument(
            "IMAGE_TOO_LARGE",
            f"{subject.value} is {width}x{height} px ({width * height / 1e6:.1f} Mpx); the limit "
            f"is {limits.max_pixels / 1e6:g} Mpx; send a smaller image",
        )


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except Exception:  # as many kinds as above, and the pixels are sound
        orientation = None
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _undecodable(subject: Subject, detail: str) -> InvalidArgument:
    return InvalidArgument(
        f"{subject.name}_UNDECODABLE",
        f"{subject.value} is not a whole JPEG, PNG or WebP: {detail}",
    )
