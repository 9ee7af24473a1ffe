"""Pixels to codes, and codes to the numbers that a network sees."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.errors import DataError

#: How pixels become inputs; see `bimu_hw.learning.streams.TaskStream`.
INPUTS = ("standardised", "binarised", "sign", "raw")

_BLOCK = 1 << 20


class Affine(NamedTuple):
    """x = offset + scale * code."""

    offset: float
    scale: float


class Encoder:
    """Pixels to codes and codes to inputs, for one split.

    Parameters
    ----------
    x : numpy.ndarray
        [n, n_in], uint8 pixels or float32 features: their mean and deviation standardise.
    full_scale : int
        The pixel that stands for white.
    inputs : str
        One of `INPUTS`.
    where : str
        Names the split in messages.

    Attributes
    ----------
    affine : Affine
    n_bits : int or None
        Bits of a code; None for unquantised features.
    code_dtype : numpy.dtype

    Raises
    ------
    DataError
        If the split is constant and cannot be standardised.
    """

    def __init__(self, x: np.ndarray, full_scale: int, inputs: str, where: str) -> None:
        is_pixel = x.dtype == np.uint8
        self._inputs = inputs
        if inputs == "raw":
            pixel_affine = Affine(0.0, 1.0 / full_scale)
        else:
            mean, std = mean_and_std(x)
            if not std > 0.0:
                raise DataError(
                    f"{where}: every input has the same value, so it cannot be standardised; give other "
                    f"data or choose stream.inputs = 'raw'."
                )
            pixel_affine = Affine(-mean / std, 1.0 / std)
        self._pixel_affine = pixel_affine
        self.n_bits: int | None
        if inputs in ("standardised", "raw"):
            self.affine = pixel_affine
            self.n_bits = full_scale.bit_length() if is_pixel else None
        else:
            self.affine = Affine(0.0, 1.0) if inputs == "binarised" else Affine(-1.0, 2.0)
            self.n_bits = 1
        self.code_dtype = np.dtype(np.uint8 if self.n_bits is not None else np.float32)
        # Codes of all 256 pixel values, and inputs of all 256 codes: a table is exact and fast.
        levels = np.arange(256, dtype=np.uint8)
        self._code_table = self._threshold(levels) if is_pixel and self.n_bits == 1 else None
        self._input_table = _apply(self.affine, levels)

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Return the codes of pixels or features of any shape."""
        if self.n_bits != 1:
            return x
        return self._threshold(x) if self._code_table is None else self._code_table[x]

    def encode(self, codes: np.ndarray) -> np.ndarray:
        """Return the float32 inputs of codes of any shape."""
        if codes.dtype == np.uint8:
            return self._input_table[codes]
        return _apply(self.affine, codes)

    def _threshold(self, x: np.ndarray) -> np.ndarray:
        standardised = _apply(self._pixel_affine, x)
        bits = np.abs(standardised) > 1.0 if self._inputs == "binarised" else standardised >= 0.0
        return bits.astype(np.uint8)


def _apply(affine: Affine, codes: np.ndarray) -> np.ndarray:
    return (affine.offset + affine.scale * codes.astype(np.float64)).astype(np.float32)


def mean_and_std(x: np.ndarray) -> tuple[float, float]:
    """Return mean and unbiased standard deviation over all entries, in the array's own units.

    Those of pixels come from exact integer sums, so they do not depend on the machine.
    """
    flat = x.reshape(-1)
    n = flat.size
    blocks = [flat[start : start + _BLOCK] for start in range(0, n, _BLOCK)]
    if x.dtype == np.uint8:
        counts = sum(np.bincount(block, minlength=256) for block in blocks)
        counted = [(level, int(count)) for level, count in enumerate(np.asarray(counts))]
        total = sum(level * count for level, count in counted)
        squares = sum(level * level * count for level, count in counted)
        mean = total / n
        # Integers of any size, divided once: correctly rounded.
        variance = (n * squares - total * total) / (n * (n - 1)) if n > 1 else 0.0
    else:
        mean = math.fsum(float(np.sum(block, dtype=np.float64)) for block in blocks) / n
        squared = math.fsum(float(np.sum((block.astype(np.float64) - mean) ** 2)) for block in blocks)
        variance = squared / (n - 1) if n > 1 else 0.0
    return mean, math.sqrt(variance)
