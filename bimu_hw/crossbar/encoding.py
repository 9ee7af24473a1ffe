"""How numbers reach the lines of an array: level grid of the stored parameter, input planes, converter codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimu_hw.devices import ROOM_TEMPERATURE, Grid
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels import jit

FloatArray = npt.NDArray[np.float32]

#: A step so small that rounding to it changes no float32 a network computes with.
EXACT_STEP = 2.0**-90


def level_grid(n_levels: int, lam_max: float, n_bitlines: int = 1, temperature: float = ROOM_TEMPERATURE) -> Grid:
    """Return the grid of `n_levels` levels spread evenly over [-lam_max, lam_max]; 0 levels: continuous, unbounded.

    Parameters
    ----------
    n_levels : int
    lam_max : float
    n_bitlines : int
        Bit lines of the layer.
    temperature : float
        Kelvin.

    Raises
    ------
    ScenarioError
        If there is just one level.
    """
    if n_levels == 0:
        return Grid(float("inf"), 1.0, EXACT_STEP, n_bitlines, temperature)
    if n_levels == 1:
        raise ScenarioError("device, n_levels: got 1; a storage element has at least 2 levels (0: continuous).")
    return Grid((n_levels - 1) / 2.0, 2.0 * lam_max / (n_levels - 1), 1.0, n_bitlines, temperature)


@dataclass(frozen=True)
class Converter:
    """An analog-to-digital converter in weight units.

    Attributes
    ----------
    step, shift, code_min, code_max : float32
        A column sum v becomes step * clip(round(v / step - shift) + shift, code_min, code_max).
    """

    step: np.float32
    shift: np.float32
    code_min: np.float32
    code_max: np.float32

    @classmethod
    def uniform(cls, bits: int, full_scale: float) -> Converter:
        """Return a converter of `bits` bits over [-full_scale, full_scale].

        From 2 bits on one code is zero; 1 bit is a sense amplifier and says the sign, plus or minus half the full
        scale. 0 bits: exact.
        """
        if bits == 0:
            values = (EXACT_STEP, 0.0, -np.inf, np.inf)
        elif bits == 1:
            values = (full_scale, 0.5, -0.5, 0.5)
        else:
            half = 2.0 ** (bits - 1)
            values = (full_scale / half, 0.0, -half, half - 1)
        return cls(*(np.float32(value) for value in values))

    def as_tuple(self) -> tuple[np.float32, np.float32, np.float32, np.float32]:
        """Return the four numbers as the kernels take them."""
        return self.step, self.shift, self.code_min, self.code_max


@jit
def _bit_planes(codes, n_bits, first, planes):
    """Write bit b of every code to plane first + b. *Mutates* `planes` (float32[plane, line])."""
    for i in range(codes.size):
        k = np.int64(codes[i])
        for b in range(n_bits):
            planes[first + b, i] = np.float32((k >> b) & 1)


class InputEncoder:
    """Turns the integer codes (or float features) of an example into the planes that drive the first layer.

    With ``mode = "analog"`` there is one plane, x itself. With ``"bit_serial"`` there is a plane of ones that
    carries the offset of a signed input and one plane per bit: x = offset + scale * code. The plane of ones is left
    out if the offset is 0 and the codes, or the lowest feature, start at 0.

    Parameters
    ----------
    n_in : int
    mode : {"analog", "bit_serial"}
    n_bits : int or None
        Bits of the data's own codes; None for float features.
    input_bits : int or None
        Bits to send; None for as many as the data have. Fewer bits send the nearest of 2**bits evenly spaced codes.
    feature_range : tuple of float
        Lowest and highest feature, used for float features only.

    Raises
    ------
    ScenarioError
        If float features are to be sent bit by bit and `input_bits` is not given.
    """

    def __init__(
        self, n_in: int, mode: str, n_bits: int | None, input_bits: int | None = None,
        feature_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:  # fmt: skip
        self.mode = mode
        self.n_in = n_in
        if mode == "bit_serial" and n_bits is None and input_bits is None:
            raise ScenarioError(
                "crossbar.input_bits: missing; the data set has float features, so say how many bits to send."
            )
        self.data_bits = n_bits
        self.bits = (input_bits or n_bits or 0) if mode == "bit_serial" else 0
        self._top = 2.0**self.bits - 1.0
        self._range = feature_range

    def n_planes(self, offset: float) -> int:
        """Return the number of planes for inputs of the given offset."""
        return 1 if self.mode == "analog" else self.bits + self._has_ones(offset)

    def _has_ones(self, offset: float) -> bool:
        return offset != 0.0 or (self.data_bits is None and self._range[0] != 0.0)

    def encode(
        self, codes: npt.NDArray[np.generic], offset: float, scale: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Encode one example whose value is offset + scale * codes.

        Parameters
        ----------
        codes : array of shape [n_in]
            Integer codes, or float features.
        offset, scale : float

        Returns
        -------
        planes : float32[1, plane, n_in]
        plane_weight : float32[plane]
        x : float32[1, n_in]
            The value that the planes stand for, as the digital unit uses it in the gradient.
        """
        if self.mode == "analog":
            x = (offset + scale * codes.astype(np.float64)).astype(np.float32)
            return x[None, None, :], np.ones(1, np.float32), x[None, :]
        if self.data_bits is None:
            low, high = offset + scale * self._range[0], offset + scale * self._range[1]
            unit = (high - low) / self._top
            value = offset + scale * codes.astype(np.float64)
            k = np.clip(np.rint((value - low) / unit), 0, self._top)
            first, scale = low, unit
        elif self.bits < self.data_bits:
            ratio = (2.0**self.data_bits - 1.0) / self._top
            k = np.rint(codes.astype(np.float64) / ratio)
            first, scale = offset, scale * ratio
        else:
            k, first = codes.astype(np.float64), offset
        signed = int(self._has_ones(offset))
        planes = np.ones((1, self.bits + signed, self.n_in), np.float32)
        _bit_planes(k.astype(np.int64), self.bits, signed, planes[0])
        weight = np.empty(self.bits + signed, np.float32)
        weight[:signed] = first
        weight[signed:] = scale * 2.0 ** np.arange(self.bits)
        x = (first + scale * k).astype(np.float32)
        return planes, weight, x[None, :]


def hidden_planes(h: FloatArray, signed: bool, analog: bool) -> tuple[FloatArray, FloatArray]:
    """Encode the binary activations of a hidden layer.

    Parameters
    ----------
    h : float32[sample, unit]
        0 and 1 (gate), or -1 and +1 (sign; `signed`).
    signed, analog : bool
        A signed activation on one-polarity drivers needs a plane of ones: h = -1 + 2 * bit.

    Returns
    -------
    planes : float32[sample, plane, unit]
    plane_weight : float32[plane]
    """
    if analog or not signed:
        return h[:, None, :], np.ones(1, np.float32)
    planes = np.ones((h.shape[0], 2, h.shape[1]), np.float32)
    planes[:, 1, :] = h > 0
    return planes, np.array([-1.0, 2.0], np.float32)


def gradient_planes(delta: FloatArray, bits: int) -> tuple[FloatArray, FloatArray]:
    """Encode output gradients for the backward read, each sample scaled by its own largest element.

    Parameters
    ----------
    delta : float32[sample, unit]
    bits : int
        2 or more; 0 sends delta as it is.

    Returns
    -------
    planes : float32[sample, plane, unit]
    plane_weight : float32[sample, plane]
    """
    n_sample = delta.shape[0]
    if bits == 0:
        return delta[:, None, :], np.ones((n_sample, 1), np.float32)
    # Codes 0 to 2 * half, an odd number, so that a zero gradient has a code of its own.
    half = 2.0 ** (bits - 1) - 1.0
    largest = np.abs(delta).max(axis=1, keepdims=True).astype(np.float64)
    safe = np.where(largest > 0, largest, 1.0)
    codes = (np.rint(delta / safe * half) + half).astype(np.int64)
    planes = np.ones((n_sample, bits + 1, delta.shape[1]), np.float32)
    for b in range(bits):
        planes[:, b + 1, :] = (codes >> b) & 1
    weight = np.empty((n_sample, bits + 1), np.float32)
    weight[:, :1] = -largest
    weight[:, 1:] = largest / half * 2.0 ** np.arange(bits)
    return planes, weight
