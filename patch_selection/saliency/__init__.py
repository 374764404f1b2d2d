"""Saliency models: which parts of a picture draw the eye."""

from patch_selection.saliency.calibration import (
    Calibration,
    bundled_calibration,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from patch_selection.saliency.interface import RgbImage, Saliency, SaliencyMap
from patch_selection.saliency.registry import (
    DEFAULT_SALIENCY,
    SALIENCY_MODELS,
    UnknownSaliency,
    load_saliency,
)
from patch_selection.saliency.spectral_residual import SpectralResidual, spectral_residual

__all__ = [
    "DEFAULT_SALIENCY",
    "SALIENCY_MODELS",
    "Calibration",
    "RgbImage",
    "Saliency",
    "SaliencyMap",
    "SpectralResidual",
    "UnknownSaliency",
    "bundled_calibration",
    "fit_calibration",
    "load_saliency",
    "read_calibration",
    "spectral_residual",
    "write_calibration",
]
