"""Exact currents of a crossbar with wire resistance and nonlinear cells.

Newton's method around the linear solver: each cell is replaced by its tangent, a conductance and a current
source in parallel, and the linear network is solved exactly. What is left over is how far each cell's current
is off its tangent; for cells whose current rises with voltage, the sum of these mismatches bounds the change
of all terminal currents together, by the same argument that certifies the linear solver, and the iteration
stops on that bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from bimu_hw.crossbar.ir_drop import Branches, IrDropResult, not_converged
from bimu_hw.crossbar.ir_drop_network import Floats, Network, check_tolerance
from bimu_hw.errors import CircuitError
from bimu_hw.kernels import ir_drop as kernels
from bimu_hw.kernels.ir_drop_arrays import branches

_MOST_STEPS = 60


class CellLaw(Protocol):
    """How the current of a cell depends on its voltage; zero at zero, and rising."""

    def evaluate(self, conductance: Floats, volts: Floats) -> tuple[Floats, Floats]:
        """Return the currents [A] and their slopes [S], [wordline, bitline].

        `conductance` [S] is that of the cells at vanishing voltage, `volts` that across each cell, from word
        line to bit line.
        """
        ...


def _parameter(where: str, values: ArrayLike, lowest: float, strictly: bool) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    good = np.isfinite(array) & ((array > lowest) if strictly else (array >= lowest))
    if not good.all():
        bound = "above" if strictly else "at least"
        raise CircuitError(f"{where}: got {array[~good].flat[0]!r}; allowed are finite values {bound} {lowest:g}.")
    return array


@dataclass(frozen=True)
class CubicLaw:
    """I = G V (1 + b V**2).

    Attributes
    ----------
    coefficient : float or array [wordline, bitline]
        b of each cell, in 1/V**2, not negative.
    """

    coefficient: ArrayLike

    def evaluate(self, conductance: Floats, volts: Floats) -> tuple[Floats, Floats]:
        """Return currents and slopes, see `CellLaw`."""
        b = _parameter("CubicLaw, coefficient", self.coefficient, 0.0, strictly=False)
        square = b * volts**2
        return conductance * volts * (1.0 + square), conductance * (1.0 + 3.0 * square)


@dataclass(frozen=True)
class TmrBiasLaw:
    """Bias dependence of the tunnel magnetoresistance, TMR(V) = TMR0 / (1 + V**2 / Vh**2).

    The parallel conductance does not depend on the bias; a cell whose resistance is that of the parallel state times
    1 + TMR(V) has I = G V (1 + TMR0) / (1 + TMR(V)), with G its conductance at vanishing voltage.

    Attributes
    ----------
    tmr : float or array [wordline, bitline]
        TMR0 of each cell as a ratio: 0 for a cell in the parallel state, not negative.
    half_voltage : float or array [wordline, bitline]
        Vh, at which the TMR is half its value at vanishing voltage [V].
    """

    tmr: ArrayLike
    half_voltage: ArrayLike

    def evaluate(self, conductance: Floats, volts: Floats) -> tuple[Floats, Floats]:
        """Return currents and slopes, see `CellLaw`."""
        tmr = _parameter("TmrBiasLaw, tmr", self.tmr, 0.0, strictly=False)
        half = _parameter("TmrBiasLaw, half_voltage", self.half_voltage, 0.0, strictly=True)
        square = (volts / half) ** 2
        below = 1.0 + square + tmr
        current = conductance * (1.0 + tmr) * volts * (1.0 + square) / below
        slope = conductance * (1.0 + tmr) * ((1.0 + square) ** 2 + tmr * (1.0 + 3.0 * square)) / below**2
        return current, slope


def solve_ir_drop_nonlinear(
    conductance: ArrayLike,
    voltages: ArrayLike,
    law: CellLaw,
    *,
    r_wordline: float,
    r_bitline: float,
    r_driver: float = 0.0,
    r_sense: float = 0.0,
    transposed: bool = False,
    tolerance: float = 1e-10,
) -> IrDropResult:
    """Solve a crossbar with wire resistance and nonlinear cells exactly.

    Parameters
    ----------
    conductance : array [wordline, bitline]
        Of the cells at vanishing voltage, in siemens: 0 is open; infinity is a short, to which no law
        applies.
    voltages : array [wordline] or [vector, wordline]
        Of the sources, in volt; of the bit lines if `transposed`.
    law : CellLaw
        For example `CubicLaw` or `TmrBiasLaw`; an odd function of the voltage if a transposed read is to mean
        the same.
    r_wordline, r_bitline, r_driver, r_sense, transposed, tolerance
        As in `bimu_hw.crossbar.ir_drop.solve_ir_drop`.

    Returns
    -------
    IrDropResult

    Raises
    ------
    CircuitError
        As `solve_ir_drop`; also if the slope of a cell's current is not positive, or if there is a short on a
        driven wire without resistance.
    """
    where = "solve_ir_drop_nonlinear"
    network = Network.check(where, conductance, transposed, r_wordline, r_bitline, r_driver, r_sense)
    tolerance = check_tolerance(where, tolerance)
    vectors = network.flip(network.check_voltages(voltages))
    if network.shorts_join_lines:
        raise CircuitError(
            f"{where}: a short on a driven wire without resistance is solved for linear cells only; give the wire a "
            "resistance."
        )
    m, n = network.conductance.shape
    sensed = np.empty((len(vectors), n))
    found = Branches(*(np.empty((len(vectors), m, n)) for _ in range(3)))
    for k, vector in enumerate(vectors):
        sensed[k] = _newton(network, vector, law, tolerance, k, Branches(*(array[k] for array in found)))
    return IrDropResult(
        network, vectors, np.ndim(voltages) == 1, tolerance, "Newton",
        sensed, found.cell_currents.sum(axis=2), found,
    )  # fmt: skip


def _newton(network: Network, vector: Floats, law: CellLaw, tolerance: float, index: int, out: Branches) -> Floats:
    """Fill the branches for one vector and return the sensed currents."""
    cells, wires = network.conductance, network.wires
    m, n = cells.shape
    short = np.isinf(cells)
    ordinary = network.restore(np.where(short, 0.0, cells))
    factors, work = kernels.allocate(m, n)
    sensed = np.empty(n)
    sign = -1.0 if network.transposed else 1.0
    volts = np.zeros((m, n))
    previous = np.inf

    def at(volts: Floats) -> tuple[Floats, Floats]:
        # Laws are written from word line to bit line, in the user's order.
        current, slope = law.evaluate(ordinary, sign * network.restore(volts))
        if not (np.isfinite(current).all() and np.isfinite(slope).all() and (slope[ordinary > 0.0] > 0.0).all()):
            raise CircuitError(
                f"{network.where}, law: {type(law).__name__} returned a current that is not finite or does not rise "
                "with the voltage; allowed are laws whose slope is positive everywhere."
            )
        # Restoring twice is doing nothing: it reverses both axes and swaps them.
        return sign * network.restore(current), network.restore(slope)

    current, slope = at(volts)
    for _ in range(_MOST_STEPS):
        tangent = np.ascontiguousarray(np.where(short, np.inf, slope))
        offset = np.ascontiguousarray(current - slope * volts)
        kernels.factorise(tangent, wires, factors, work.carry)
        kernels.inject(vector, wires, factors, work.injected)
        kernels.inject_cells(offset, wires, factors, work)
        if kernels.solve(0.5 * tolerance, kernels.iteration_budget(m, n), wires, factors, work, sensed) < 0:
            raise not_converged(network.where, tolerance, f"vector {index}")
        branches(tangent, vector, offset, wires, work.b, work.row, out.line_voltages, out.cell_currents)
        np.add(out.cell_currents, offset, out=out.cell_currents)
        reached = out.line_voltages - work.b
        current, slope = at(reached)
        mismatch = np.abs(np.where(short, 0.0, current - out.cell_currents)).sum()
        rounding = 2.0**-49 * np.abs(out.cell_currents).sum()
        if mismatch <= 0.5 * tolerance * np.abs(sensed).max() + rounding:
            out.column_voltages[:] = work.b
            return sensed
        if mismatch < previous:
            volts = reached
        else:
            # The tangents overshoot: meet half-way.
            volts = 0.5 * (volts + reached)
            current, slope = at(volts)
        previous = mismatch
    raise not_converged(network.where, tolerance, f"vector {index}, after {_MOST_STEPS} Newton steps")
