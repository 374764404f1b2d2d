"""Monotone maps that give a model's raw output the scale the selectors' thresholds are made for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from patch_selection.saliency.interface import RawSaliency, RgbImage, SaliencyMap
from patchsearch.errors import InvalidArgument

TABLE_ROWS = 65
"""Quantiles in a fitted table: every 1/64 from the lowest raw value to the highest."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A piecewise-linear monotone map from raw saliency to 0..1.

    `raw` ascends strictly and `value` never descends; both have the same length, two or more.
    Raw values outside the table take the value at its nearer end. Raises `InvalidArgument`
    (CALIBRATION_INVALID) for anything else.
    """

    raw: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        raw, value = np.array(self.raw), np.array(self.value)
        if (
            raw.size < 2
            or raw.size != value.size
            or not np.isfinite(raw).all()
            or not (np.diff(raw) > 0).all()
            or not (np.diff(value) >= 0).all()
            or not (0.0 <= value[0] and value[-1] <= 1.0)
        ):
            raise InvalidArgument(
                "CALIBRATION_INVALID",
                f"a calibration of {raw.size} raw and {value.size} calibrated values; it needs two "
                "or more of each, raw ascending strictly, values in 0..1 never descending",
            )

    def apply(self, raw: npt.NDArray[np.float32]) -> SaliencyMap:
        """The map with every raw value replaced by its calibrated one, float32 in 0..1."""
        return np.interp(raw, self.raw, self.value).astype(np.float32)


@dataclass(frozen=True, slots=True)
class CalibratedSaliency:
    """A model with its calibration, which makes it a `Saliency`."""

    model: RawSaliency
    calibration: Calibration

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    def predict(self, images: Sequence[RgbImage]) -> list[SaliencyMap]:
        """See `Saliency.predict`; a map has the resolution that the model gives it."""
        return [self.calibration.apply(raw) for raw in self.model.raw(images)]


def fit_calibration(raw_maps: Iterable[npt.NDArray[np.float32]], exponent: float) -> Calibration:
    """The calibration after which a value of u^`exponent` is reached by the share 1 - u of pixels.

    The pixels of all `raw_maps` are put together, and the raw value at their quantile u is sent to
    u^exponent: the calibrated pixels then average 1 / (exponent + 1). The larger the exponent, the
    fewer windows reach a threshold. Raises `InvalidArgument` (CALIBRATION_INVALID) without maps,
    with an exponent that is not above 0, or with fewer than two different raw values.
    """
    maps = [raw_map.reshape(-1) for raw_map in raw_maps]
    if not maps or not exponent > 0.0:
        raise InvalidArgument(
            "CALIBRATION_INVALID",
            f"{len(maps)} maps and exponent {exponent}; give one map or more and an exponent > 0",
        )
    share = np.linspace(0.0, 1.0, TABLE_ROWS)
    quantiles = [float(f"{raw:.6g}") for raw in np.quantile(np.concatenate(maps), share)]
    raw, first = np.unique(quantiles, return_index=True)
    return Calibration(
        raw=tuple(raw.tolist()),
        value=tuple(float(f"{value:.6g}") for value in share[first] ** exponent),
    )


def bundled_calibration(model: str) -> Calibration:
    """The calibration that comes with the package for the model of this name."""
    text = resources.files(__package__).joinpath("calibrations", f"{model}.json").read_text("utf-8")
    return _parse(text, f"the bundled table of {model}")


def read_calibration(path: Path) -> Calibration:
    """Read a table written by `write_calibration`; raises `InvalidArgument` if it is none."""
    return _parse(path.read_text("utf-8"), str(path))


def write_calibration(path: Path, calibration: Calibration, notes: dict[str, str | float]) -> None:
    """Write the table as JSON, with `notes` on how it was fitted."""
    table = {**notes, "raw": calibration.raw, "value": calibration.value}
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def _parse(text: str, source: str) -> Calibration:
    try:
        table = json.loads(text)
        return Calibration(tuple(map(float, table["raw"])), tuple(map(float, table["value"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(
            "CALIBRATION_INVALID",
            f"{source} is no calibration table ({error!r}); it is JSON with the lists raw and "
            "value, as python -m patch_selection.calibrate writes it",
        ) from error
