"""Boxes in pixels of the upright (EXIF-applied) image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle in whole pixels: left edge `x`, top edge `y`, width `w`, height `h`.

    Ordered by (x, y, w, h), so that hits of equal score have one order everywhere.
    """

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.w

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.h

    @property
    def area(self) -> int:
        """Pixels covered."""
        return self.w * self.h

    def intersection(self, other: Box) -> int:
        """Pixels that lie in both boxes."""
        width = min(self.right, other.right) - max(self.x, other.x)
        height = min(self.bottom, other.bottom) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)

    def overlap(self, other: Box) -> float:
        """Shared area as a share of the larger box, 0..1 (thesis section 3.2.2)."""
        larger = max(self.area, other.area)
        return self.intersection(other) / larger if larger else 0.0

    def inside(self, width: int, height: int) -> bool:
        """Whether the box is not empty and lies wholly in an image of this size."""
        return (
            self.w > 0
            and self.h > 0
            and self.x >= 0
            and self.y >= 0
            and self.right <= width
            and self.bottom <= height
        )

    def clipped(self, width: int, height: int) -> Box:
        """The part of the box that lies in an image of this size; empty (w or h 0) if none does."""
        left, top = min(max(self.x, 0), width), min(max(self.y, 0), height)
        right, bottom = min(max(self.right, left), width), min(max(self.bottom, top), height)
        return Box(left, top, right - left, bottom - top)
