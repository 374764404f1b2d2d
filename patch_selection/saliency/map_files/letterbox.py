"""A picture inside a frame of another shape, and the part of the frame's map that is its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from patch_selection.saliency.interface import RgbImage


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture lies in a frame of `height` x `width`: in the middle, with its shape kept."""

    height: int
    width: int
    top: int
    left: int
    rows: int
    columns: int

    def framed(self, image: RgbImage) -> npt.NDArray[np.uint8]:
        """(height, width, 3): the picture, and black around it."""
        smaller = self.rows < image.shape[0]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        frame = np.zeros((self.height, self.width, 3), np.uint8)
        inside = cv2.resize(image, (self.columns, self.rows), interpolation=how)
        frame[self.top : self.top + self.rows, self.left : self.left + self.columns] = inside
        return frame

    def cut(self, framed_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The picture's part of a map (rows, columns) of the whole frame, at its resolution; one
        row and column at least."""
        down, across = framed_map.shape[0] / self.height, framed_map.shape[1] / self.width
        top, left = int(self.top * down), int(self.left * across)
        bottom = max(top + 1, round((self.top + self.rows) * down))
        right = max(left + 1, round((self.left + self.columns) * across))
        return np.ascontiguousarray(framed_map[top:bottom, left:right])


def letterbox(image: RgbImage, height: int, width: int) -> Letterbox:
    """Where `image` lies in such a frame."""
    scale = min(width / image.shape[1], height / image.shape[0])
    columns, rows = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return Letterbox(height, width, (height - rows) // 2, (width - columns) // 2, rows, columns)
