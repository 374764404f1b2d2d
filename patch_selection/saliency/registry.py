"""Saliency models by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from patch_selection.saliency.calibration import bundled_calibration
from patch_selection.saliency.interface import Saliency
from patch_selection.saliency.spectral_residual import SpectralResidual
from patchsearch.errors import InvalidArgument

DEFAULT_SALIENCY = "spectral-residual"


class UnknownSaliency(InvalidArgument):
    """No saliency model has this name."""


def _spectral_residual() -> Saliency:
    return SpectralResidual(bundled_calibration("spectral-residual"))


SALIENCY_MODELS: Mapping[str, Callable[[], Saliency]] = MappingProxyType(
    {DEFAULT_SALIENCY: _spectral_residual}
)
"""Name -> what makes the model, reading its files when it is called."""


def load_saliency(name: str = DEFAULT_SALIENCY) -> Saliency:
    """The model of this name, ready to use. Raises `UnknownSaliency` (SALIENCY_UNKNOWN)."""
    try:
        make = SALIENCY_MODELS[name]
    except KeyError:
        raise UnknownSaliency(
            "SALIENCY_UNKNOWN",
            f"unknown saliency model {name!r}; known are {', '.join(SALIENCY_MODELS)}",
        ) from None
    return make()
