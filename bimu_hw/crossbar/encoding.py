"""How numbers reach the lines of an array: level grid of the stored parameter, input planes, converter codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.keys import event_key
from bimu_hw.devices import ROOM_TEMPERATURE, Grid
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import fill_normal, fill_uniform
from bimu_hw.random import Purpose, stream_key

FloatArray = npt.NDArray[np.float32]

_ONE = np.ones(1, np.float32)

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


class MeasuredLevels(NamedTuple):
    """Where the cells of a layer stand, as measured.

    Attributes
    ----------
    level : float32[cell]
        Counted from the middle of the grid; not rounded.
    """

    level: FloatArray


#: What a layer starts from.
InitialLam = str | FloatArray | MeasuredLevels


def initial_levels(
    initial_lam: InitialLam, shape: tuple[int, int], grid: Grid, key: np.uint64
) -> tuple[FloatArray, FloatArray]:
    """Return the initial lam in levels, and the levels that the cells are to have, float32[cell].

    Parameters
    ----------
    initial_lam : {"uniform", "zero"}, float32[wordline, bitline] or MeasuredLevels
        Uniform in +-1/sqrt(n_in), or 0, or these values: the cells take the nearest levels of the grid. Measured levels
        they take as they are.
    shape : tuple of int
        (wordline, bitline).
    grid : Grid
    key : uint64
    """
    if isinstance(initial_lam, MeasuredLevels):
        return initial_lam.level, initial_lam.level
    start = np.zeros(shape[0] * shape[1], np.float32)
    if isinstance(initial_lam, np.ndarray):
        start[:] = initial_lam.reshape(-1)
    elif initial_lam == "uniform":
        fill_uniform(key, start)
        start = (np.float32(2.0) * start - np.float32(1.0)) * np.float32(1.0 / np.sqrt(shape[0]))
    levels = start / np.float32(grid.step)
    return levels, nearest_levels(levels, grid, key)


def nearest_levels(levels: FloatArray, grid: Grid, key: np.uint64) -> FloatArray:
    """Return the levels of the grid nearest to the given ones, float32[cell]; on a continuous grid the given ones."""
    if grid.quantum != 1.0:
        return levels
    # Levels of an even grid lie at half-integers: round on the grid that starts at the lowest level. A start at
    # exactly 0 lies between two of them; the cell tosses a coin, or all weights would begin with one bias.
    coin = np.empty_like(levels)
    fill_uniform(event_key(key, 1), coin)
    above = levels + np.float32(grid.level_max)
    tie = above - np.floor(above) == np.float32(0.5)
    above = np.where(tie, np.floor(above) + (coin > 0.5), np.rint(above))
    return (np.clip(above, 0, 2 * grid.level_max) - grid.level_max).astype(np.float32)


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


@lru_cache(maxsize=4)
def _input_table(offset: float, scale: float) -> FloatArray:
    """Return the inputs of all 256 codes: looking one up is faster than computing it."""
    return (offset + scale * np.arange(256, dtype=np.float64)).astype(np.float32)


def _values(codes: npt.NDArray[np.generic], offset: float, scale: float) -> FloatArray:
    """Return offset + scale * codes, of any shape."""
    if codes.dtype == np.uint8:
        return _input_table(offset, scale)[codes]
    return (offset + scale * codes.astype(np.float64)).astype(np.float32)


@jit
def _bit_planes(codes, n_bits, first, planes):
    """Write bit b of every code to plane first + b. *Mutates* `planes` (float32[plane, line])."""
    for i in range(codes.size):
        k = np.int64(codes[i])
        for b in range(n_bits):
            planes[first + b, i] = np.float32((k >> b) & 1)


class InputEncoder:
    """Turns the integer codes (or float features) of an example into the planes that drive the first layer.

    ``analog``
        One plane, x itself; with `dac_bits` the nearest of 2**dac_bits evenly spaced values between the lowest and the
        highest input, as each word line's converter puts it out.
    ``bit_serial``
        A plane of ones that carries the offset of a signed input and one plane per bit: x = offset + scale * code. The
        plane of ones is left out if the offset is 0 and the codes, or the lowest feature, start at 0.
    ``signed_bits``
        The same with every bit sent as -1 or +1, half as heavy; the plane of ones carries what is then the middle of
        the range, and is left out if that is 0.
    ``pulse_width``
        A plane of ones as with bit_serial, and one plane of the code over the largest code: word lines that are on for
        so many of the 2**bits - 1 slots of a look.

    Parameters
    ----------
    n_in : int
    mode : {"analog", "bit_serial", "signed_bits", "pulse_width"}
    n_bits : int or None
        Bits of the data's own codes; None for float features.
    input_bits : int or None
        Bits to send; None for as many as the data have. Fewer bits send the nearest of 2**bits evenly spaced codes.
    feature_range : tuple of float
        Lowest and highest feature, used for float features only.
    dac_bits : int
        Resolution of the word lines' converters (analog); 0: exact.
    bow : float32[n_in], optional
        Integral nonlinearity of each word line's converter: the error in the middle of its range, in steps. It falls to
        0 as a parabola towards both ends, which define gain and offset of a converter.

    Raises
    ------
    ScenarioError
        If float features are to be sent in bits and `input_bits` is not given.
    """

    def __init__(
        self, n_in: int, mode: str, n_bits: int | None, input_bits: int | None = None,
        feature_range: tuple[float, float] = (0.0, 1.0), dac_bits: int = 0, bow: FloatArray | None = None,
    ) -> None:  # fmt: skip
        self.mode = mode
        self.n_in = n_in
        if mode != "analog" and n_bits is None and input_bits is None:
            raise ScenarioError(
                "crossbar.input_bits: missing; the data set has float features, so say how many bits to send."
            )
        self.data_bits = n_bits
        self.bits = (input_bits or n_bits or 0) if mode != "analog" else dac_bits
        self._bow = np.zeros(n_in, np.float32) if bow is None else bow
        self._top = 2.0**self.bits - 1.0
        self._range = feature_range

    def slots(self, offset: float, scale: float) -> tuple[int, ...]:
        """Return how long each plane of an input offset + scale * code lasts, in integration times of the array."""
        if self.mode == "analog":
            return (1,)
        ones = (1,) * self._has_ones(offset, scale)
        return ones + ((int(self._top),) if self.mode == "pulse_width" else (1,) * self.bits)

    def _has_ones(self, offset: float, scale: float) -> bool:
        if self.mode == "signed_bits":
            first, unit = self._grid(offset, scale)
            return first + unit * self._top / 2.0 != 0.0
        return offset != 0.0 or (self.data_bits is None and self._range[0] != 0.0)

    def _grid(self, offset: float, scale: float) -> tuple[float, float]:
        """Return the value of code 0 and the distance between the values that are sent."""
        if self.data_bits is None:
            low, high = offset + scale * self._range[0], offset + scale * self._range[1]
            return low, (high - low) / self._top
        if self.bits < self.data_bits or self.mode == "analog":
            return offset, scale * ((2.0**self.data_bits - 1.0) / self._top)
        return offset, scale

    def encode_each(
        self, codes: npt.NDArray[np.generic], offset: float, scale: float
    ) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Return what `encode` returns for each of some examples, [example, n_in]."""
        if self.mode != "analog" or self.bits:
            return [self.encode(one, offset, scale) for one in codes]
        return [(x[None, None, :], _ONE, x[None, :]) for x in _values(codes, offset, scale)]

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
        if self.mode == "analog" and not self.bits:
            x = _values(codes, offset, scale)
            return x[None, None, :], _ONE, x[None, :]
        first, unit = self._grid(offset, scale)
        if self.data_bits is None:
            value = offset + scale * codes.astype(np.float64)
            k = np.clip(np.rint((value - first) / unit), 0, self._top)
        elif unit != scale:
            k = np.rint(codes.astype(np.float64) / ((2.0**self.data_bits - 1.0) / self._top))
        else:
            k = codes.astype(np.float64)
        x = (first + unit * k).astype(np.float32)[None, :]
        if self.mode == "analog":
            part = k / self._top
            volts = first + unit * (k + self._bow * (4.0 * part * (1.0 - part)))
            return volts.astype(np.float32)[None, None, :], np.ones(1, np.float32), x
        ones = int(self._has_ones(offset, scale))
        n_plane = ones + (1 if self.mode == "pulse_width" else self.bits)
        planes = np.ones((1, n_plane, self.n_in), np.float32)
        weight = np.full(n_plane, first, np.float32)
        if self.mode == "pulse_width":
            planes[0, ones] = k / self._top
            weight[ones] = unit * self._top
            return planes, weight, x
        _bit_planes(k.astype(np.int64), self.bits, ones, planes[0])
        weight[ones:] = unit * 2.0 ** np.arange(self.bits)
        if self.mode == "signed_bits":
            weight[:ones] = first + unit * self._top / 2.0
            _as_signs(planes[:, ones:], weight[ones:])
        return planes, weight, x


def _as_signs(planes: FloatArray, weight: FloatArray) -> None:
    """Turn planes of 0 and 1 into planes of -1 and +1 of half the weight; *mutates* both."""
    planes *= 2.0
    planes -= 1.0
    weight *= 0.5


def driver_bow(n_in: int, inl: float, seed: int) -> FloatArray:
    """Return the integral nonlinearity of each word line's converter in steps, float32[n_in]: normal, of rms `inl`."""
    bow = np.empty(n_in, np.float32)
    fill_normal(stream_key(seed, Purpose.DAC_ERROR), bow)
    return bow * np.float32(inl)


def hidden_planes(h: FloatArray, signed: bool, analog: bool) -> tuple[FloatArray, FloatArray]:
    """Encode the binary activations of a hidden layer.

    Parameters
    ----------
    h : float32[sample, unit]
        0 and 1 (gate), or -1 and +1 (sign; `signed`).
    signed : bool
        A signed activation on one-polarity drivers needs a plane of ones: h = -1 + 2 * bit.
    analog : bool
        Whether a line, or a complementary pair of them, can take both signs.

    Returns
    -------
    planes : float32[sample, plane, unit]
    plane_weight : float32[plane]
    """
    if analog or not signed:
        return h[:, None, :], _ONE
    planes = np.ones((h.shape[0], 2, h.shape[1]), np.float32)
    planes[:, 1, :] = h > 0
    return planes, np.array([-1.0, 2.0], np.float32)


def gradient_planes(delta: FloatArray, bits: int, mode: str = "bit_serial") -> tuple[FloatArray, FloatArray]:
    """Encode output gradients for the backward read, each sample scaled by its own largest element.

    Parameters
    ----------
    delta : float32[sample, unit]
    bits : int
        2 or more; 0 sends delta as it is.
    mode : {"bit_serial", "signed_bits", "pulse_width"}
        As in `InputEncoder`.

    Returns
    -------
    planes : float32[sample, plane, unit]
        The first is one of ones.
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
    n_plane = 1 + (1 if mode == "pulse_width" else bits)
    planes = np.ones((n_sample, n_plane, delta.shape[1]), np.float32)
    weight = np.empty((n_sample, n_plane), np.float32)
    weight[:, :1] = -largest
    if mode == "pulse_width":
        top = 2.0**bits - 1.0
        planes[:, 1, :] = codes / top
        weight[:, 1:] = largest / half * top
        return planes, weight
    for b in range(bits):
        planes[:, b + 1, :] = (codes >> b) & 1
    weight[:, 1:] = largest / half * 2.0 ** np.arange(bits)
    if mode == "signed_bits":
        weight[:, :1] = largest / half / 2.0  # -largest + half the largest code
        _as_signs(planes[:, 1:], weight[:, 1:])
    return planes, weight
