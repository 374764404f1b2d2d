"""Fit the calibration of a saliency model: `python -m patch_selection.calibrate IMAGES...`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from patch_selection.saliency import (
    DEFAULT_SALIENCY,
    CalibratedSaliency,
    Calibration,
    RawSaliency,
    RgbImage,
    calibration_file,
    fit_calibration,
    load_raw_saliency,
    write_calibration,
)
from patch_selection.selection import select_patches
from patch_selection.selectors import HIERARCHICAL_FILTERED, SELECTORS
from patch_selection.spread import spread_windows
from patch_selection.windows import grid_windows
from patchsearch.errors import InvalidArgument, PatchsearchError

DEFAULT_EXPONENT = 3.0
PATCHES_A_PHOTO = 5


def calibrate(
    model: RawSaliency, photos: Sequence[RgbImage], exponent: float = DEFAULT_EXPONENT
) -> Calibration:
    """The calibration of a model fitted to its maps of whole photos and of parts of them.

    A model sees both: the photo at the first level, and its patches at the second. Each
    photo adds its own map and those of `PATCHES_A_PHOTO` first-level windows spread over it.
    """
    return fit_calibration(_raw_maps(model, photos), exponent)


def _raw_maps(model: RawSaliency, photos: Sequence[RgbImage]) -> Iterator[npt.NDArray[np.float32]]:
    for photo in photos:
        height, width = photo.shape[:2]
        windows = grid_windows(width, height, HIERARCHICAL_FILTERED.grids(0, width, height))
        spread = windows[spread_windows(windows, PATCHES_A_PHOTO)].tolist()
        yield from model.raw([photo, *(photo[y : y + side, x : x + side] for x, y, side in spread)])


def store(name: str, calibration: Calibration, notes: dict[str, str | float]) -> Path:
    """Puts a calibration where `load_saliency` finds it: into the weights of a network, beside a
    model in another file. Raises `InvalidArgument` (CALIBRATION_INVALID) for a bundled model."""
    kind, _, place = name.partition(":")
    beside = calibration_file(name)
    if beside is not None:
        write_calibration(beside, calibration, notes)
        return beside
    if kind != "simplenet":
        raise InvalidArgument(
            "CALIBRATION_INVALID", f"{name} is bundled with its calibration; name a file: --output"
        )
    from patch_selection.saliency.simplenet.weights import read_weights, write_weights

    path = Path(place)
    write_weights(path, dataclasses.replace(read_weights(path), calibration=calibration))
    return path


def _read(path: Path) -> RgbImage:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise InvalidArgument(
            "IMAGE_UNDECODABLE", f"{path} cannot be read as an image; leave it out"
        )
    return np.asarray(pixels, dtype=np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, write the table, and print how many patches each selector takes with it."""
    parser = argparse.ArgumentParser("python -m patch_selection.calibrate", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, help="driving photos, some dozens")
    parser.add_argument(
        "--saliency",
        default=DEFAULT_SALIENCY,
        help="the model, such as simplenet:FILE, litert:FILE or onnx:FILE (default: %(default)s)",
    )
    parser.add_argument(
        "--exponent",
        type=float,
        default=DEFAULT_EXPONENT,
        help="larger: fewer windows reach a threshold (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, help="write the table (JSON) to this file")
    parser.add_argument("--store", action="store_true", help="put it where the model finds it")
    options = parser.parse_args(arguments)
    try:
        model, _ = load_raw_saliency(options.saliency)
        photos = [_read(path) for path in options.images]
        calibration = calibrate(model, photos, options.exponent)
        notes: dict[str, str | float] = {
            "model": model.name,
            "fitted_on_photos": len(photos),
            "exponent": options.exponent,
        }
        if options.store:
            print(f"wrote {store(options.saliency, calibration, notes)}")
    except PatchsearchError as error:
        print(error, file=sys.stderr)
        return 2
    if options.output is not None:
        write_calibration(options.output, calibration, notes)
    saliency = CalibratedSaliency(model, calibration)
    for selector in SELECTORS.values():
        counts = [len(select_patches(photo, saliency, selector).patches) for photo in photos]
        print(f"{selector.name:24}{np.mean(counts):6.1f} patches a photo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
