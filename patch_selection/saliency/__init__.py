"""Saliency models: which parts of a picture draw the eye."""

from patch_selection.saliency.calibration import (
    CalibratedSaliency,
    Calibration,
    bundled_calibration,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from patch_selection.saliency.interface import RawSaliency, RgbImage, Saliency, SaliencyMap
from patch_selection.saliency.registry import (
    DEFAULT_SALIENCY,
    SALIENCY_MODELS,
    UnknownSaliency,
    calibration_file,
    load_raw_saliency,
    load_saliency,
)
from patch_selection.saliency.spectral_residual import SpectralResidual, spectral_residual

__all__ = [
    "DEFAULT_SALIENCY",
    "SALIENCY_MODELS",
    "CalibratedSaliency",
    "Calibration",
    "RawSaliency",
    "RgbImage",
    "Saliency",
    "SaliencyMap",
    "SpectralResidual",
    "UnknownSaliency",
    "bundled_calibration",
    "calibration_file",
    "fit_calibration",
    "load_raw_saliency",
    "load_saliency",
    "read_calibration",
    "spectral_residual",
    "write_calibration",
]
