"""A checked crossbar network: what the exact solvers of `bimu_hw.crossbar.ir_drop` work on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bimu_hw.errors import CircuitError
from bimu_hw.kernels.ir_drop import Wires

#: The smallest wire resistance that is not zero [ohm].
SMALLEST_RESISTANCE = 1e-12

Floats = NDArray[np.float64]


def check_wires(where: str, transposed: bool, **resistances: float) -> Wires:
    """Return the resistances as a kernel sees them, lines being the driven wires, or raise `CircuitError`."""
    for name, value in resistances.items():
        if not (value == 0.0 or SMALLEST_RESISTANCE <= value < math.inf):
            raise CircuitError(
                f"{where}, {name}: got {value!r} ohm; allowed are 0 (an ideal wire) and finite resistances of at "
                f"least {SMALLEST_RESISTANCE:g} ohm."
            )
    line, column = float(resistances["r_wordline"]), float(resistances["r_bitline"])
    wordline_end, bitline_end = line + resistances["r_driver"], column + resistances["r_sense"]
    if transposed:
        return Wires(column, float(bitline_end), line, float(wordline_end))
    return Wires(line, float(wordline_end), column, float(bitline_end))


def check_tolerance(where: str, tolerance: float) -> float:
    """Return the tolerance, or raise `CircuitError` if it is not in [1e-13, 1e-2]."""
    if not 1e-13 <= tolerance <= 1e-2:
        raise CircuitError(f"{where}, tolerance: got {tolerance!r}; allowed is 1e-13 to 1e-2.")
    return float(tolerance)


@dataclass(frozen=True)
class Network:
    """Conductances and wires of one array, with the driven wires as lines.

    Attributes
    ----------
    where : str
        Who asked, for messages.
    conductance : float64[line, column]
        In siemens; a copy. For a transposed read lines are bit lines and columns are word
        lines, both counted backwards, so that line 0 ends farthest from the sensed terminals as ever.
    wires : Wires
    transposed : bool
    """

    where: str
    conductance: Floats
    wires: Wires
    transposed: bool

    @classmethod
    def check(
        cls, where: str, conductance: ArrayLike, transposed: bool, r_wordline: float, r_bitline: float,
        r_driver: float, r_sense: float,
    ) -> Network:  # fmt: skip
        """Build a network from what a user gave, or raise `CircuitError`."""
        wires = check_wires(
            where, transposed, r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense
        )
        given = np.array(conductance, dtype=np.float64, order="C")
        if given.ndim != 2 or given.size == 0:
            raise CircuitError(
                f"{where}, conductance: got shape {given.shape}; expected [wordline, bitline], none of them empty."
            )
        bad = ~(given >= 0.0)
        if bad.any():
            i, j = (int(k) for k in np.argwhere(bad)[0])
            raise CircuitError(
                f"{where}, conductance[{i}, {j}]: got {given[i, j]!r} S; allowed are 0 (open) to inf (short)."
            )
        return cls(where, given[::-1, ::-1].T if transposed else given, wires, transposed)

    @property
    def n_lines(self) -> int:
        """Number of driven wires."""
        return self.conductance.shape[0]

    @property
    def n_columns(self) -> int:
        """Number of sensed wires."""
        return self.conductance.shape[1]

    @property
    def shorts_join_lines(self) -> bool:
        """Whether a short sits on a driven wire without resistance, which line elimination cannot express."""
        return self.wires.line == 0.0 and bool(np.isinf(self.conductance).any())

    def check_voltages(self, voltages: ArrayLike) -> Floats:
        """Return the voltages as [vector, driven wire] in the user's order, or raise `CircuitError`."""
        given = np.ascontiguousarray(voltages, dtype=np.float64)
        driven = "bitline" if self.transposed else "wordline"
        if given.ndim not in (1, 2) or given.shape[-1] != self.n_lines:
            raise CircuitError(
                f"{self.where}, voltages: got shape {given.shape}; expected [{driven}] or [vector, {driven}] with "
                f"{self.n_lines} {driven}s."
            )
        if not np.isfinite(given).all():
            index = tuple(int(k) for k in np.argwhere(~np.isfinite(given))[0])
            raise CircuitError(f"{self.where}, voltages{list(index)}: got {given[index]!r} V; expected finite values.")
        return given.reshape(-1, self.n_lines)

    def flip(self, vectors: Floats) -> Floats:
        """Turn [..., wire] from the user's order into the kernels' order, or back."""
        return np.ascontiguousarray(vectors[..., ::-1]) if self.transposed else vectors

    def restore(self, arrays: Floats) -> Floats:
        """Turn [..., line, column] into [..., wordline, bitline]."""
        return arrays[..., ::-1, ::-1].swapaxes(-1, -2) if self.transposed else arrays
