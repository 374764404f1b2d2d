"""Encoded bytes to upright RGB pixels, with nothing but Pillow and numpy.

This is what runs in the decoding processes, so it imports nothing of the server.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from encoder_service.pixels import RgbImage, fill_rgb

FORMATS = ("JPEG", "PNG", "WEBP")
"""What may be decoded. Pillow knows some forty formats more, and each is a parser to attack."""

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


class Flaw(IntEnum):
    """What is wrong with an image."""

    UNDECODABLE = 1
    TOO_LARGE = 2
    OUT_OF_MEMORY = 3


class FlawedPicture(Exception):
    """The bytes are no picture that may be decoded; the text says why."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(detail)
        self.flaw = flaw
        self.detail = detail


def read_picture(
    data: bytes,
    max_pixels: int,
    room: Callable[[int, int], RgbImage],
    opened: Callable[[int], None] | None = None,
) -> None:
    """Decodes a JPEG, PNG or WebP into `room(height, width)`, (height, width, 3) uint8 RGB.

    `room` is asked once, when the picture is decoded and upright; `opened` hears of the number of
    pixels before. The pixel count is checked, by the header, before anything is decoded. Raises
    `FlawedPicture` and nothing else.
    """
    if not data:
        raise FlawedPicture(Flaw.UNDECODABLE, "it has no bytes")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _check_pixel_count(picture.width, picture.height, max_pixels)
            if opened is not None:
                opened(picture.width * picture.height)
            picture.load()
            upright = _upright(picture)
            fill_rgb(upright, room(upright.height, upright.width))
    except FlawedPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise FlawedPicture(Flaw.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise FlawedPicture(Flaw.UNDECODABLE, "its content is none of them") from error
    except MemoryError as error:
        raise FlawedPicture(
            Flaw.OUT_OF_MEMORY, "it needs more memory than its decoder may use; send a smaller one"
        ) from error
    except Exception as error:
        # Pillow's parsers raise OSError, SyntaxError, struct.error, ValueError, IndexError,
        # KeyError, OverflowError and others on damaged input.
        raise FlawedPicture(Flaw.UNDECODABLE, str(error) or type(error).__name__) from error


def _check_pixel_count(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise FlawedPicture(
            Flaw.TOO_LARGE,
            f"it is {width}x{height} px ({width * height / 1e6:.1f} Mpx); the limit "
            f"is {max_pixels / 1e6:g} Mpx; send a smaller image",
        )


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except Exception:  # as many kinds as above, and the pixels are sound
        orientation = None
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)
