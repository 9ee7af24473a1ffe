"""Images turned about their middle, the same way for every image of a task."""

from __future__ import annotations

import math

import numpy as np


class Rotation:
    """A turn of flattened images of one shape, by bilinear interpolation; what lies outside an image is 0.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    angle : float
        Radians; positive turns counter-clockwise as an image is shown, row 0 on top.
    """

    def __init__(self, shape: tuple[int, int], angle: float) -> None:
        height, width = shape
        row, column = (index.reshape(-1) - 0.5 * (n - 1) for index, n in zip(np.indices(shape), shape, strict=True))
        cos, sin = math.cos(angle), math.sin(angle)
        # Where each pixel of the turned image comes from.
        from_row = cos * row + sin * column + 0.5 * (height - 1)
        from_column = -sin * row + cos * column + 0.5 * (width - 1)
        self._corners: list[tuple[np.ndarray, np.ndarray]] = []
        for down in (0, 1):
            for right in (0, 1):
                r, c = np.floor(from_row) + down, np.floor(from_column) + right
                weight = (1.0 - np.abs(from_row - r)) * (1.0 - np.abs(from_column - c))
                inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
                place = np.where(inside, r * width + c, 0).astype(np.int64)
                self._corners.append((place, np.where(inside, weight, 0.0)))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the turned images, [..., n_in] of the same type; pixels are rounded to the nearest integer."""
        turned = sum(images[..., place].astype(np.float64) * weight for place, weight in self._corners)
        if images.dtype == np.uint8:
            return np.rint(np.asarray(turned)).astype(np.uint8)
        return np.asarray(turned).astype(images.dtype)
