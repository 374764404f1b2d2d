"""Hits as people look at them: the cut-out patch, the place in its photo, a page in a notebook."""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from patchsearch.errors import InvalidArgument
from patchsearch.pixels import Pixels
from patchsearch.thumbnail import opened, thumbnail, unreadable

if TYPE_CHECKING:
    from patchsearch.photo_reader import ReadPhoto
    from patchsearch.results import Hit, SearchResult

_TILE = 160
_PREVIEW = 480
_MOST_TILES = 24
_STYLE = (
    "display:inline-block;vertical-align:top;width:160px;margin:4px;"
    "font:12px system-ui,sans-serif;overflow-wrap:anywhere"
)


def photo_of(
    hit: Hit, photo: Pixels | None = None, read_photo: ReadPhoto | None = None
) -> Image.Image:
    """The upright RGB photo of a hit.

    `photo` where it is given; else what `read_photo` gives for the hit's uri; else the file that
    the uri names on this machine. Raises what `read_photo` raises, and InvalidArgument: URI_MISSING
    (the hit has no uri), URI_UNSUPPORTED (no file of this machine), FILE_UNREADABLE,
    IMAGE_UNDECODABLE, IMAGE_CHANGED (not of the size that was stored).
    """
    if photo is None:
        if not hit.uri:
            raise InvalidArgument(
                "URI_MISSING", f"{hit.image_id!r} was stored without a uri; hand its photo in"
            )
        photo = hit.uri if read_photo is None else read_photo(hit.uri)
    try:
        image = opened(photo)
    except FileNotFoundError as error:
        raise InvalidArgument(
            "FILE_UNREADABLE", f"{hit.uri!r} is not on this machine; hand its photo in"
        ) from error
    # Pillow raises much more than it says for files that are damaged.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidArgument(
            "IMAGE_UNDECODABLE", f"photo of {hit.image_id!r} cannot be decoded: {error}"
        ) from error
    if image.size != (hit.image_width, hit.image_height):
        raise InvalidArgument(
            "IMAGE_CHANGED",
            f"photo of {hit.image_id!r} is {image.width}x{image.height} px, but "
            f"{hit.image_width}x{hit.image_height} was stored; ingest it anew",
        )
    return image


def crop_of(
    hit: Hit, photo: Pixels | None = None, read_photo: ReadPhoto | None = None
) -> Image.Image:
    """The pixels of the hit's box at full resolution; raises as `photo_of`."""
    box = hit.box
    return photo_of(hit, photo, read_photo).crop((box.x, box.y, box.right, box.bottom))


def preview_of(
    hit: Hit, photo: Pixels | None = None, read_photo: ReadPhoto | None = None
) -> Image.Image:
    """The hit's box, outlined, with some of its surroundings; raises as `photo_of`."""
    return thumbnail(photo_of(hit, photo, read_photo), hit.box, _PREVIEW)


def html_of_hit(hit: Hit) -> str:
    """A tile with its picture, score and id, everything escaped; a grey tile without a picture."""
    try:
        tile = thumbnail(photo_of(hit), hit.box, _TILE)
    # A notebook shows what is wrong in the place of the picture, whatever it is.
    except Exception as error:
        tile = unreadable(error, _TILE)
    buffer = io.BytesIO()
    tile.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    name = html.escape(hit.image_id)
    box = f"{hit.box.x},{hit.box.y},{hit.box.w},{hit.box.h}"
    return (
        f'<div style="{_STYLE}"><img width="{_TILE}" height="{_TILE}" alt="{name}" '
        f'src="data:image/jpeg;base64,{data}"><br><b>{hit.score:.3f}</b> {name}<br>{box}</div>'
    )


def html_of_result(result: SearchResult) -> str:
    """A line about the answer and the first 24 hits as tiles."""
    coverage = result.coverage
    said: list[str] = [f"{len(result)} hits in {result.timings.total_ms:.0f} ms"]
    if coverage.degraded:
        said.append(
            f"<b>DEGRADED</b>: {coverage.partitions_answered} of {coverage.partitions_total} "
            "partitions answered"
        )
    said += [html.escape(warning) for warning in result.warnings]
    hidden = len(result) - _MOST_TILES
    more = f"<p>and {hidden} more</p>" if hidden > 0 else ""
    return f"<p>{'; '.join(said)}</p>{_tiles(result.hits[:_MOST_TILES])}{more}"


def _tiles(hits: Sequence[Hit]) -> str:
    return f"<div>{''.join(html_of_hit(hit) for hit in hits)}</div>"


def show(image: Image.Image) -> None:
    """Displays a picture: below the cell of a notebook, else in the desktop's viewer."""
    # Who runs in a notebook has IPython loaded; nobody else should load it for this.
    notebook: Any = sys.modules.get("IPython")
    if notebook is None or notebook.get_ipython() is None:
        image.show()
    else:
        notebook.display.display(image)
