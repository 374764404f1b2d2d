"""Contact sheets: their size, their frames, and pictures that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchsearch import Box
from patchsearch.sheet import SheetHit, SheetQuery, contact_sheet

BLUE = np.full((200, 300, 3), (10, 20, 200), np.uint8)


def colours(sheet: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(sheet.convert("RGB")).reshape(-1, 3).tolist()}


def hit(correct: bool | None = None) -> SheetHit:
    return SheetHit(BLUE, Box(20, 20, 60, 60), 0.5, "photo.jpg", correct)


def test_the_width_is_of_the_columns_and_the_height_of_the_rows() -> None:
    one, nine = (contact_sheet("found", [BLUE], [hit()] * n) for n in (1, 9))
    assert one.width == nine.width
    assert nine.height > one.height
    assert contact_sheet("found", [], [hit()], columns=4).width < one.width


def test_frames_tell_right_from_wrong() -> None:
    right, wrong, unknown = (colours(contact_sheet("", [], [hit(c)])) for c in (True, False, None))
    assert (22, 140, 72) in right - wrong
    assert (206, 50, 44) in wrong - right
    assert not {(22, 140, 72), (206, 50, 44)} & unknown


def test_the_hit_is_cut_out_of_its_photo(tmp_path: Path) -> None:
    Image.fromarray(BLUE).save(tmp_path / "photo.png")
    sheet = contact_sheet("found", [], [SheetHit(tmp_path / "photo.png", Box(0, 0, 9, 9), 1, "a")])
    assert (10, 20, 200) in colours(sheet)


@pytest.mark.parametrize("pixels", [b"no picture", "missing.jpg"])
def test_what_cannot_be_read_is_shown_as_such(pixels: bytes | str) -> None:
    sheet = contact_sheet("found", [], [SheetHit(pixels, Box(0, 0, 9, 9), 1.0, "lost.jpg")])
    assert (10, 20, 200) not in colours(sheet)


def test_words_and_no_hits() -> None:
    query = SheetQuery(None, caption="an ambulance, but no van" * 9, is_avoided=True)
    sheet = contact_sheet("a title that goes on " * 20, [query], [])
    assert len(colours(sheet)) > 3
