"""Saliency models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from patch_selection.saliency.calibration import (
    CalibratedSaliency,
    Calibration,
    bundled_calibration,
    read_calibration,
)
from patch_selection.saliency.interface import RawSaliency, Saliency
from patch_selection.saliency.spectral_residual import SpectralResidual
from patchsearch.errors import InvalidArgument

BUNDLED_NETWORK = "simplenet-mini"
DEFAULT_SALIENCY = BUNDLED_NETWORK

SALIENCY_MODELS = (BUNDLED_NETWORK, "spectral-residual")
"""The models that come with the package."""


class UnknownSaliency(InvalidArgument):
    """No saliency model has this name."""


def load_saliency(name: str = DEFAULT_SALIENCY) -> Saliency:
    """The model of this name, ready to use.

    A bundled one, or one in a file: `simplenet:PATH`, `litert:PATH` or `onnx:PATH`, the latter two
    with `#OUTPUT` behind them where the map is not the model's first. Raises `UnknownSaliency`
    (SALIENCY_UNKNOWN), `InvalidArgument` for a file that is missing, damaged or something else, or
    has no calibration (CALIBRATION_MISSING), `FailedPrecondition` (EXTRA_MISSING).
    """
    model, calibration = load_raw_saliency(name)
    if calibration is None:
        raise InvalidArgument(
            "CALIBRATION_MISSING",
            f"{name} has no calibration, without which thresholds mean nothing; fit one: "
            f"python -m patch_selection.calibrate --saliency {name} PHOTOS...",
        )
    return CalibratedSaliency(model, calibration)


def load_raw_saliency(name: str) -> tuple[RawSaliency, Calibration | None]:
    """The model of this name, and its calibration where it has one; raises as `load_saliency`."""
    kind, _, place = name.partition(":")
    make = _KINDS.get(kind)
    if make is None or bool(place) != (kind in _IN_FILES):
        raise UnknownSaliency(
            "SALIENCY_UNKNOWN",
            f"unknown saliency model {name!r}; known are {', '.join(SALIENCY_MODELS)}, and "
            f"{', '.join(f'{one}:FILE' for one in _IN_FILES)}",
        )
    return make(name, place)


def calibration_file(name: str) -> Path | None:
    """Where the calibration of a model in a file lies; None where it is within that file."""
    kind, _, place = name.partition(":")
    if kind not in ("litert", "onnx"):
        return None
    path = Path(place.partition("#")[0])
    return path.with_name(f"{path.name}.calibration.json")


def _spectral_residual(name: str, place: str) -> tuple[RawSaliency, Calibration | None]:
    return SpectralResidual(), bundled_calibration(name)


def _bundled_network(name: str, place: str) -> tuple[RawSaliency, Calibration | None]:
    files = resources.files(__package__).joinpath("bundled", f"{name}.safetensors")
    with resources.as_file(files) as path:
        return _network(name, str(path))


def _network(name: str, place: str) -> tuple[RawSaliency, Calibration | None]:
    # torch is loaded where it is needed.
    from patch_selection.saliency.simplenet.model import SimpleNetMaps
    from patch_selection.saliency.simplenet.weights import read_weights

    weights = read_weights(Path(place))
    return SimpleNetMaps(name, weights), weights.calibration


def _litert(name: str, place: str) -> tuple[RawSaliency, Calibration | None]:
    from patch_selection.saliency.map_files.litert import LiteRtRunner
    from patch_selection.saliency.map_files.model import FileMaps

    path, output = _file(place)
    return FileMaps(name, LiteRtRunner(path, output)), _beside(name)


def _onnx(name: str, place: str) -> tuple[RawSaliency, Calibration | None]:
    from patch_selection.saliency.map_files.model import FileMaps
    from patch_selection.saliency.map_files.onnx import OnnxRunner

    path, output = _file(place)
    return FileMaps(name, OnnxRunner(path, output)), _beside(name)


def _file(place: str) -> tuple[Path, str]:
    path, _, output = place.partition("#")
    if not Path(path).is_file():
        raise InvalidArgument(
            "SALIENCY_WEIGHTS_MISSING", f"there is no file {path}; give the file of the model"
        )
    return Path(path), output


def _beside(name: str) -> Calibration | None:
    path = calibration_file(name)
    return read_calibration(path) if path is not None and path.is_file() else None


_KINDS: Mapping[str, Callable[[str, str], tuple[RawSaliency, Calibration | None]]] = (
    MappingProxyType(
        {
            "spectral-residual": _spectral_residual,
            BUNDLED_NETWORK: _bundled_network,
            "simplenet": _network,
            "litert": _litert,
            "onnx": _onnx,
        }
    )
)
_IN_FILES = ("simplenet", "litert", "onnx")
