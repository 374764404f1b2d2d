"""The summary's pictures: small, few colours, and no photograph of anybody's data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from evaluation.study.report.drawing import LIGHT, Draw, Theme, draw_png
from evaluation.study.report.galleries import FOLDER
from evaluation.study.report.option_plots import PANELS, draw_options
from evaluation.study.report.plots import (
    draw_captured,
    draw_found,
    draw_precision,
    draw_profiles,
)
from evaluation.study.report.rows import main_level, rows_of
from evaluation.study.report.summary.document import Study

_DPI, _COLOURS = 72, 64
_GENERATED = re.compile(r"scenes-\d+-\d+")
_SHEET_WIDTH, _SHEET_QUALITY = 640, 48


def draw_pictures(study: Study, folder: Path, before: str) -> list[tuple[str, str]]:
    """Draws a study's plots into `folder`; (name as the text has it, alt text) of each.

    Galleries are taken over only from generated scenes: photographs belong to those who took them.
    """
    results, name = study.results, study.name
    stem = _slug(name)
    out = []
    curves, search = rows_of(results, "curves", "curve"), rows_of(results, "search")
    if curves:
        draw = partial(draw_captured, curves, rows_of(results, "selection"))
        alt = f"{name}: objects captured against patches per photo"
        out.append(_plot(folder, f"{stem}-captured", (9.6, 3.6), draw, alt))
    if search:
        draw = partial(draw_precision, search)
        alt = f"{name}: precision at 16 by level and kind of query"
        out.append(_plot(folder, f"{stem}-precision", (9.6, 3.6), draw, alt))
    recall = [row for row in rows_of(results, "recall") if row["curve"]]
    profiles = [row for row in rows_of(results, "profiles") if "precision_at_16" in row]
    if recall and profiles:

        def both(figure: Figure, theme: Theme) -> None:
            left, right = figure.subfigures(1, 2, squeeze=False)[0]
            draw_found(recall, main_level(results), left, theme)
            draw_profiles(profiles, right, theme)

        alt = f"{name}: objects found within the first hits; precision of the index profiles"
        out.append(_plot(folder, f"{stem}-found", (9.6, 3.6), both, alt))
    options = rows_of(results, "options")
    named = [one for one in PANELS if any(row["option"] == one for row in options)]
    if named:
        draw = partial(draw_options, options, named)
        alt = f"{name}: precision at 16 against the settings of each study"
        out.append(_plot(folder, f"{stem}-options", (9.6, 5.0), draw, alt))
    out += _sheets(study, folder)
    return [(f"{before.rstrip('/')}/{file_name}", alt) for file_name, alt in out]


def _plot(
    folder: Path, stem: str, size: tuple[float, float], draw: Draw, alt: str
) -> tuple[str, str]:
    path = folder / f"{stem}.png"
    draw_png(path, size, LIGHT, draw, dpi=_DPI)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path.name, alt


def _sheets(study: Study, folder: Path) -> list[tuple[str, str]]:
    """One averaged search a class, of generated scenes."""
    if not _GENERATED.fullmatch(study.name):
        return []
    out = []
    found: Sequence[Path] = sorted((study.folder / FOLDER).glob("*-the-average-of-*.jpg"))
    for path in found:
        target = folder / f"{study.name}-{path.name.partition('-')[2]}"
        with Image.open(path) as sheet:
            height = round(sheet.height * _SHEET_WIDTH / sheet.width)
            small = sheet.resize((_SHEET_WIDTH, height), Image.Resampling.LANCZOS)
        small.save(target, quality=_SHEET_QUALITY, optimize=True)
        words = target.stem.removeprefix(f"{study.name}-").replace("-", " ")
        out.append((target.name, f"{words}: right hits are framed green, wrong ones red"))
    return out


def _slug(name: str) -> str:
    """A name without what file names and links cannot have."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
