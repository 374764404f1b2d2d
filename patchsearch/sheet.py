"""Contact sheets: what was looked for on top, what was found below, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from patchsearch.geometry import Box
from patchsearch.pixels import Pixels
from patchsearch.thumbnail import centred, thumbnail, unreadable

_TILE = 176
_GAP = 16
_MARGIN = 28
_CAPTION = 44
_PAPER = (250, 250, 248)
_INK = (32, 34, 38)
_FAINT = (112, 116, 124)
_LINE = (218, 219, 222)
_RIGHT = (22, 140, 72)
_WRONG = (206, 50, 44)
_AVOIDED = (150, 84, 20)
_PLAIN_FRAME = 1
_TOLD_FRAME = 5


@dataclass(frozen=True, slots=True, eq=False)
class SheetQuery:
    """One thing that was looked for: a picture (a box of it), or only its caption, as words."""

    pixels: Pixels | None
    box: Box | None = None
    caption: str = ""
    is_avoided: bool = False
    """Whether the search was pushed away from it."""


@dataclass(frozen=True, slots=True, eq=False)
class SheetHit:
    """One place that was found: its picture (a path, a `file://` URI or pixels) and box.

    `caption` is usually the image's id. `correct` draws a green (with a tick) or red (with a
    cross) frame; None where nobody knows.
    """

    pixels: Pixels
    box: Box
    score: float
    caption: str
    correct: bool | None = None


def contact_sheet(
    title: str,
    query_images: Sequence[SheetQuery | Pixels],
    hits: Sequence[SheetHit],
    columns: int = 8,
) -> Image.Image:
    """Draws a sheet of square tiles: each hit's box with some of its surroundings, rank and score.

    A picture that cannot be read becomes a grey tile that says why. The sheet is `columns` tiles
    wide, whatever the number of hits.
    """
    queries = [q if isinstance(q, SheetQuery) else SheetQuery(q) for q in query_images]
    step_x, step_y = _TILE + _GAP, _TILE + _CAPTION + _GAP
    width = 2 * _MARGIN + columns * step_x - _GAP
    query_top = _MARGIN + 46
    hits_top = query_top + -(-len(queries) // columns) * step_y + (18 if queries else 0)
    hit_rows = max(-(-len(hits) // columns), 1)
    sheet = Image.new("RGB", (width, hits_top + hit_rows * step_y + _MARGIN - _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), _shortened(title, 26, width - 2 * _MARGIN), _INK, _font(26))
    for i, query in enumerate(queries):
        _draw_query(sheet, query, _MARGIN + i % columns * step_x, query_top + i // columns * step_y)
    if queries:
        line_y = hits_top - 20
        draw.line((_MARGIN, line_y, width - _MARGIN, line_y), _LINE, 2)
    for i, hit in enumerate(hits):
        left, top = _MARGIN + i % columns * step_x, hits_top + i // columns * step_y
        _draw_hit(sheet, hit, i + 1, left, top)
    if not hits:
        draw.text((_MARGIN, hits_top + 12), "no hits", _FAINT, _font(18))
    return sheet


def _draw_query(sheet: Image.Image, query: SheetQuery, left: int, top: int) -> None:
    if query.pixels is None:
        tile = centred(query.caption, _TILE, ink=_INK, paper=(255, 255, 255), size=20)
    else:
        tile = _tile(query.pixels, query.box)
        _write(sheet, left, top + _TILE + 6, query.caption, 14, _INK)
    sheet.paste(tile, (left, top))
    frame = _AVOIDED if query.is_avoided else _INK
    _frame(sheet, left, top, frame, 3)
    if query.is_avoided:
        _badge(sheet, left, top, "not", _AVOIDED)


def _draw_hit(sheet: Image.Image, hit: SheetHit, rank: int, left: int, top: int) -> None:
    sheet.paste(_tile(hit.pixels, hit.box), (left, top))
    if hit.correct is None:
        _frame(sheet, left, top, _LINE, _PLAIN_FRAME)
    else:
        _frame(sheet, left, top, _RIGHT if hit.correct else _WRONG, _TOLD_FRAME)
        _mark(sheet, left + _TILE - 26, top + 6, hit.correct)
    _badge(sheet, left, top, str(rank), _INK)
    text_top = top + _TILE + 5
    _write(sheet, left, text_top, f"{hit.score:.3f}", 15, _INK)
    _write(sheet, left, text_top + 19, hit.caption, 13, _FAINT)


def _tile(pixels: Pixels, box: Box | None) -> Image.Image:
    try:
        return thumbnail(pixels, box, _TILE)
    # Pillow raises much more than it says for files that are damaged; a sheet shows them as such.
    except Exception as error:
        return unreadable(error, _TILE)


def _frame(
    sheet: Image.Image, left: int, top: int, colour: tuple[int, int, int], width: int
) -> None:
    # Outside the tile, so that it hides nothing.
    edge = width - 1
    corners = (left - width, top - width, left + _TILE + edge, top + _TILE + edge)
    ImageDraw.Draw(sheet).rectangle(corners, outline=colour, width=width)


def _badge(
    sheet: Image.Image, left: int, top: int, text: str, colour: tuple[int, int, int]
) -> None:
    draw = ImageDraw.Draw(sheet)
    font = _font(14)
    width = int(draw.textlength(text, font)) + 12
    draw.rectangle((left, top, left + width, top + 21), fill=colour)
    draw.text((left + 6, top + 11), text, (255, 255, 255), font, anchor="lm")


def _mark(sheet: Image.Image, left: int, top: int, correct: bool) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((left, top, left + 20, top + 20), fill=_RIGHT if correct else _WRONG)
    white = (255, 255, 255)
    if correct:
        tick = [(left + 5, top + 10), (left + 9, top + 14), (left + 15, top + 6)]
        draw.line(tick, white, 3, joint="curve")
    else:
        draw.line((left + 6, top + 6, left + 14, top + 14), white, 3)
        draw.line((left + 6, top + 14, left + 14, top + 6), white, 3)


def _write(
    sheet: Image.Image, left: int, top: int, text: str, size: int, ink: tuple[int, int, int]
) -> None:
    ImageDraw.Draw(sheet).text((left, top), _shortened(text, size, _TILE), ink, _font(size))


def _shortened(text: str, size: int, width: int) -> str:
    """One line of at most `width` pixels; the middle goes first, because ids differ at the end."""
    font = _font(size)
    line = "".join(c if c.isprintable() else " " for c in text)
    if font.getlength(line) <= width:
        return line
    keep = len(line)
    while keep > 4 and font.getlength(line) > width:
        keep -= 1
        line = f"{text[: keep // 3]}...{text[-(keep - keep // 3) :]}"
        line = "".join(c if c.isprintable() else " " for c in line)
    return line


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
