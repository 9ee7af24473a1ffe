"""Where the cells of a tile lie, how its lines are driven, and what its sensed currents mean.

A synapse is one weight, -1 or +1, at a word line and a bit line of the network. What stands in the array depends on
the mapping (`columns`):

``differential``
    Two complementary cells on two bit lines, ordered +, -, +, - ...: physical array [wordline, 2 * bitline]. At
    weight +1 the + cell is on and the - cell off. The two currents are subtracted; a weight unit is on - off.
``reference``
    One cell, and per word line one reference cell of (on + off) / 2 on a last bit line that all columns share:
    [wordline, bitline + 1]. The current of the reference line is subtracted from each column; a unit is (on - off) / 2.
``xnor``
    Two complementary cells on two word lines, ordered P, N, P, N ..., and one bit line (2T2R): [2 * wordline,
    bitline]. At weight +1 the P cell is on and the N cell off. An input v > 0 drives P with v, v < 0 drives N with
    -v; the lines that are not driven are held at 0 V. The sense circuit subtracts (on + off) / 2 per unit of |v|, a
    threshold that the controller knows; a unit is (on - off) / 2.

The backward read drives bit lines and senses word lines. For a pair of bit lines, value v drives the + line with v
and the - line with -v: the word line itself subtracts, and without wire resistance its current is exactly
sum_j v_j w_j units. With a reference, one drives each bit line with its v and holds the reference line at 0 V; a
replica line of reference cells outside the array, one per tile, carries (on + off) / 2 per unit of v, and its current
is subtracted from that of each word line (it dissipates as much as a word line of the tile). With XNOR cells both
word lines of a pair are sensed and subtracted; a unit is then on - off.

Everything here is plain NumPy on one tile, in siemens and in units of the read voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bimu_hw.errors import CircuitError

Floats = NDArray[np.float64]

#: Devices of one synapse in each mapping.
DEVICES = {"differential": 2, "reference": 1, "xnor": 2}


def device_conductances(on: float, off: float, spread: float, errors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Return what every device conducts in its two states.

    Parameters
    ----------
    on, off : float
        Nominal conductances [S].
    spread : float
        Standard deviation from device to device over the mean.
    errors : float32[wordline, bitline, device]
        Standard normal; a device has one error, whichever state it is in.

    Returns
    -------
    tuple of float64[wordline, bitline, device]
        On and off conductances [S]; none is negative.
    """
    factor = np.maximum(1.0 + spread * errors.astype(np.float64), 0.0)
    return on * factor, off * factor


def read_values(
    columns: str, on: float, off: float, spread: float, errors: NDArray[np.float32], read: str = "forward"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what each synapse adds to a sum without wire resistance, middle + gain * weight per unit of input.

    Parameters
    ----------
    columns, on, off, spread, errors
        As in `device_conductances`.
    read : {"forward", "negative", "backward"}
        A forward read of positive values; one of negative values, where XNOR synapses use their other cell; a
        backward read.

    Returns
    -------
    tuple of float32[wordline, bitline]
        Middle and gain in weight units, nominally 0 and 1.
    """
    if spread:
        # No device conducts less than nothing.
        errors = np.maximum(errors, np.float32(-1.0 / spread))
    first, second = errors[..., 0], errors[..., -1]
    if columns == "differential" or (columns == "xnor" and read == "backward"):
        high = 1.0 + spread * (on * first - off * second) / (on - off)
        low = -1.0 + spread * (off * first - on * second) / (on - off)
    elif columns == "xnor" and read == "negative":
        unit = (on - off) / 2.0
        high = 1.0 - spread * off * second / unit
        low = -1.0 - spread * on * second / unit
    else:
        unit = (on - off) / 2.0
        high = 1.0 + spread * on * first / unit
        low = -1.0 + spread * off * first / unit
    return ((high + low) / 2.0).astype(np.float32), ((high - low) / 2.0).astype(np.float32)


@dataclass(frozen=True)
class TileLayout:
    """The mapping of one layer.

    Attributes
    ----------
    columns : {"differential", "reference", "xnor"}
    on, off : float
        Nominal conductances of a device [S].

    Raises
    ------
    CircuitError
        If the mapping is unknown, or `on` is not larger than `off`.
    """

    columns: str
    on: float
    off: float

    def __post_init__(self) -> None:
        if self.columns not in DEVICES:
            raise CircuitError(f"TileLayout, columns: got {self.columns!r}; allowed are {', '.join(DEVICES)}.")
        if not 0.0 <= self.off < self.on < np.inf:
            raise CircuitError(
                f"TileLayout: got on = {self.on:g} S and off = {self.off:g} S; weights can only be told apart if on is "
                "larger than off, and off not negative."
            )

    @property
    def middle(self) -> float:
        """Mean of the two states [S]: a reference cell."""
        return (self.on + self.off) / 2.0

    def unit(self, transposed: bool = False) -> float:
        """Return the current of one weight unit per read voltage [S]."""
        pair = self.columns == "differential" or (self.columns == "xnor" and transposed)
        return (self.on - self.off) * (1.0 if pair else 0.5)

    def shape(self, n_wordlines: int, n_bitlines: int) -> tuple[int, int]:
        """Return the word lines and bit lines of the physical array of a tile of that many synapses."""
        if self.columns == "differential":
            return n_wordlines, 2 * n_bitlines
        if self.columns == "reference":
            return n_wordlines, n_bitlines + 1
        return 2 * n_wordlines, n_bitlines

    def places(self, n_wordlines: int, n_bitlines: int) -> NDArray[np.int64]:
        """Return the synapse, counted along the word lines, of each cell of the physical array; -1: a reference."""
        index = np.arange(n_wordlines * n_bitlines).reshape(n_wordlines, n_bitlines)
        if self.columns == "reference":
            return np.pad(index, ((0, 0), (0, 1)), constant_values=-1)
        return np.repeat(index, 2, axis=1 if self.columns == "differential" else 0)

    def conductance(self, weights: NDArray[np.int8], g_on: NDArray[Any], g_off: NDArray[Any]) -> Floats:
        """Return the cells of a tile.

        Parameters
        ----------
        weights : int8[wordline, bitline]
            -1 or +1.
        g_on, g_off : float64[wordline, bitline, device]
            What each device of the tile conducts in its two states [S].

        Returns
        -------
        float64[physical word line, physical bit line]
            In siemens.
        """
        g_on, g_off = np.asarray(g_on, np.float64), np.asarray(g_off, np.float64)
        m, n = weights.shape
        up = weights > 0
        cells = np.empty(self.shape(m, n))
        if self.columns == "reference":
            cells[:, :n] = np.where(up, g_on[..., 0], g_off[..., 0])
            cells[:, n] = self.middle
            return cells
        first, second = (cells[:, ::2], cells[:, 1::2]) if self.columns == "differential" else (cells[::2], cells[1::2])
        first[:] = np.where(up, g_on[..., 0], g_off[..., 0])
        second[:] = np.where(up, g_off[..., 1], g_on[..., 1])
        return cells

    def voltages(self, values: NDArray[Any], transposed: bool = False) -> Floats:
        """Return how the lines are driven, in read voltages.

        Parameters
        ----------
        values : array [..., wordline] or, transposed, [..., bitline]
            Of a plane.
        transposed : bool

        Returns
        -------
        float64[..., driven line of the physical array]
        """
        values = np.asarray(values, np.float64)
        if self.columns == "differential":
            return np.stack([values, -values], axis=-1).reshape(*values.shape[:-1], -1) if transposed else values.copy()
        if self.columns == "reference":
            return np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1) if transposed else values.copy()
        if transposed:
            return values.copy()
        lines = np.stack([np.maximum(values, 0.0), np.maximum(-values, 0.0)], axis=-1)
        return lines.reshape(*values.shape[:-1], -1)

    def sums(self, currents: NDArray[Any], values: NDArray[Any], transposed: bool = False, gain: Any = 1.0) -> Floats:
        """Return what sensed currents mean in weight units.

        Parameters
        ----------
        currents : array [..., sensed line of the physical array]
            Per read voltage [S].
        values : array [..., wordline] or, transposed, [..., bitline]
            What drove the tile.
        transposed : bool
        gain : float or array [bitline] or, transposed, [wordline]
            Of each column's sense circuit, before a known threshold is subtracted.

        Returns
        -------
        float64[..., bitline] or, transposed, [..., wordline]
        """
        currents, values = np.asarray(currents, np.float64), np.asarray(values, np.float64)
        known: Floats | float = 0.0
        if self.columns == "reference":
            if transposed:
                known = self.middle * values.sum(axis=-1, keepdims=True)
            else:
                currents = currents[..., :-1] - currents[..., -1:]
        elif self.columns == "differential" or transposed:
            if (self.columns == "xnor") == transposed:
                currents = currents[..., ::2] - currents[..., 1::2]
        else:
            known = self.middle * np.abs(values).sum(axis=-1, keepdims=True)
        return (gain * currents - known) / self.unit(transposed)

    def replica(self, values: NDArray[Any], transposed: bool = False) -> Floats:
        """Return the power of the replica line over the read voltage squared [S]; it is 0 where there is none."""
        values = np.asarray(values, np.float64)
        square = (values**2).sum(axis=-1)
        return square * (self.middle if self.columns == "reference" and transposed else 0.0)
