"""Saliency without weights: what is unexpected in the spectrum of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from patch_selection.saliency.interface import RgbImage

# Chosen on 120 photos of the GTSDB by the share of signs that hierarchical-filtered captures with
# at most 35 patches. Colour is what matters (luminance alone captures a fifth less); the others
# lie on a plateau: 48 to 96 pixels and sigmas of 1 to 3 differ by less than the measurement error.
WORKING_SHORT_SIDE = 64
SMOOTHING_SIGMA = 1.5
CHANNEL_WEIGHTS = (0.2, 0.4, 0.4)
SPECTRUM_WINDOW = 3

_LONGEST_WORKING_SIDE = 1024
_SHORTEST_WORKING_SIDE = 8

# Amplitudes well below this many L*a*b* hundredths a pixel are rounding errors of the transform.
# Whitening would raise them to the level of everything else, and a plain wall to a pattern.
_NOISE_AMPLITUDE = 1e-4
_PLAIN_ENERGY = 1e-2


@dataclass(frozen=True, slots=True)
class SpectralResidual:
    """The spectral residual of Hou and Zhang (CVPR 2007) on L*, a* and b*.

    Needs no weights and keeps no state, so it may be used from several threads.
    """

    @property
    def name(self) -> str:
        """`spectral-residual`."""
        return "spectral-residual"

    def raw(self, images: Sequence[RgbImage]) -> list[npt.NDArray[np.float32]]:
        """Maps of 64 pixels on the short side; see `spectral_residual`."""
        return [spectral_residual(image) for image in images]


def spectral_residual(image: RgbImage) -> npt.NDArray[np.float32]:
    """The raw map of an image (height, width, 3) uint8 RGB: (rows, columns) float32, 0 or more.

    The short side of the map has 64 pixels (fewer where the long one would have more than 1024).
    For each of L*, a* and b* the amplitudes of the Fourier transform are replaced by
    exp(log amplitude - its 3 x 3 mean), with the phases as they are; the squared magnitudes of the
    inverse, weighted 1 : 2 : 2, divided by their mean and smoothed, are the map: 1 on average,
    whatever the picture's contrast, and about 0 everywhere if it has none.
    """
    small = _shrink(image)
    rows, columns = small.shape[:2]
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB) / 100.0
    spectrum = fft.fft2(lab, axes=(0, 1))
    amplitude = np.abs(spectrum) + _NOISE_AMPLITUDE * np.sqrt(rows * columns)
    log_amplitude = np.log(amplitude)
    expected = ndimage.uniform_filter(
        log_amplitude, (SPECTRUM_WINDOW, SPECTRUM_WINDOW, 1), mode="wrap"
    )
    residual = spectrum * (np.exp(log_amplitude - expected) / amplitude)
    # The mean colour says nothing about places, and would drown a picture of little contrast.
    residual[0, 0] = 0.0
    energy = np.square(np.abs(fft.ifft2(residual, axes=(0, 1)))) * (rows * columns)
    weighted = (energy @ np.array(CHANNEL_WEIGHTS)).astype(np.float32)
    # Per unit of the mean, as a grey picture has the energy of one channel only.
    weighted /= max(float(weighted.mean()), _PLAIN_ENERGY)
    smooth = cv2.GaussianBlur(weighted, (0, 0), SMOOTHING_SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth, dtype=np.float32)


def _shrink(image: RgbImage) -> RgbImage:
    height, width = image.shape[:2]
    scale = min(WORKING_SHORT_SIDE / min(width, height), _LONGEST_WORKING_SIDE / max(width, height))
    columns = max(_SHORTEST_WORKING_SIDE, round(width * scale))
    rows = max(_SHORTEST_WORKING_SIDE, round(height * scale))
    # Halving is many times faster than averaging areas of odd sizes, and the same but for rounding.
    small = image
    while small.shape[0] >= 4 * rows and small.shape[1] >= 4 * columns:
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = np.asarray(cv2.resize(small, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    area = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(area, dtype=np.uint8)
