"""Square tiles cut from pictures."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from patchsearch.errors import InvalidArgument
from patchsearch.geometry import Box
from patchsearch.pixels import Pixels

_SURROUNDINGS = 1.5
"""Side of the square that is shown, in longer sides of the box."""
_GREY = (204, 206, 210)
_INK = (70, 74, 80)
_BOX = (255, 214, 10)
_SHADE = (0, 0, 0)
_BACKDROP = (228, 229, 232)


def opened(pixels: Pixels) -> Image.Image:
    """The upright RGB picture; a `str` may be a path or a `file://` URI.

    Raises InvalidArgument URI_UNSUPPORTED for other URIs, and what Pillow and the disk raise.
    """
    if isinstance(pixels, Image.Image):
        return ImageOps.exif_transpose(pixels).convert("RGB")
    if isinstance(pixels, np.ndarray):
        return Image.fromarray(pixels).convert("RGB")
    source = io.BytesIO(pixels) if isinstance(pixels, bytes) else _path(str(pixels))
    with Image.open(source, formats=("JPEG", "PNG", "WEBP")) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def thumbnail(pixels: Pixels, box: Box | None, side: int) -> Image.Image:
    """A (side, side) tile that shows the box, outlined, with some of its surroundings.

    Without a box it shows the whole picture. Raises as `opened` does, and InvalidArgument
    BOX_OUTSIDE_IMAGE for a box that the picture does not hold.
    """
    image = opened(pixels)
    if box is None:
        return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=_BACKDROP)
    if not box.inside(image.width, image.height):
        raise InvalidArgument(
            "BOX_OUTSIDE_IMAGE", f"box is not in this picture of {image.width}x{image.height} px"
        )
    view = max(round(_SURROUNDINGS * max(box.w, box.h)), 1)
    left = _start(box.x + box.w / 2, view, image.width)
    top = _start(box.y + box.h / 2, view, image.height)
    cut = Image.new("RGB", (view, view), _BACKDROP)
    shown = Box(left, top, view, view).clipped(image.width, image.height)
    cut.paste(
        image.crop((shown.x, shown.y, shown.right, shown.bottom)), (shown.x - left, shown.y - top)
    )
    tile = cut.resize((side, side), Image.Resampling.LANCZOS)
    scale = side / view
    corners = (
        round((box.x - left) * scale),
        round((box.y - top) * scale),
        round((box.right - left) * scale) - 1,
        round((box.bottom - top) * scale) - 1,
    )
    _outline(tile, corners)
    return tile


def unreadable(error: Exception, side: int) -> Image.Image:
    """A grey tile that says why there is no picture."""
    match error:
        case InvalidArgument():
            why = error.message
        case FileNotFoundError():
            why = "photo is not there any more"
        case UnidentifiedImageError():
            why = "photo cannot be decoded"
        case OSError() if error.strerror:
            why = error.strerror.lower()
        case _:
            why = str(error) or type(error).__name__
    return centred(why, side, ink=_INK, paper=_GREY, size=14)


def centred(
    text: str,
    side: int,
    *,
    ink: tuple[int, int, int],
    paper: tuple[int, int, int],
    size: int,
) -> Image.Image:
    """A tile with a text in its middle, broken into lines and cut where it is too long."""
    tile = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(size)
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(joined, font) <= side - 24:
            lines[-1] = joined
        else:
            lines.append(word)
    most = side // (size + 6) - 1
    if len(lines) > most:
        lines = [*lines[: most - 1], "..."]
    block = "\n".join(lines)
    draw.multiline_text(
        (side / 2, side / 2), block, ink, font, anchor="mm", align="center", spacing=5
    )
    return tile


def _path(uri: str) -> Path:
    scheme, found, _ = uri.partition("://")
    if not found:
        return Path(uri)
    if scheme != "file":
        raise InvalidArgument("URI_UNSUPPORTED", f"{scheme}:// is not opened for sheets")
    return Path(unquote(urlsplit(uri).path))


def _start(middle: float, length: int, limit: int) -> int:
    """Where a run of `length` around `middle` begins, moved into 0..limit where it fits."""
    start = round(middle - length / 2)
    return min(max(start, 0), limit - length) if length <= limit else round((limit - length) / 2)


def _outline(tile: Image.Image, corners: tuple[int, int, int, int]) -> None:
    draw = ImageDraw.Draw(tile)
    left, top, right, bottom = corners
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_SHADE)
    draw.rectangle(corners, outline=_BOX, width=2)
    draw.rectangle((left + 2, top + 2, right - 2, bottom - 2), outline=_SHADE)
