"""Exact currents of a crossbar whose wires have resistance (IR drop).

Topology: word line i is driven at its left end, ideal source - `r_driver` - `r_wordline` - cell 0 -
`r_wordline` - cell 1 - ..., its right end open; bit line j is open at the top, runs through `r_bitline` from
row to row and ends at the bottom, after one more `r_bitline`, through `r_sense` in the virtual ground of its
sense amplifier. The transposed read drives the same bit-line terminals and senses the same word-line
terminals: every resistance stays where it is, so its effective matrix is the transpose.

Two exact routes give the same currents: line elimination with conjugate gradients (`bimu_hw.kernels.ir_drop`,
where the mathematics is explained), for arrays that change with every sample, and the effective matrix
(`bimu_hw.crossbar.ir_drop_matrix`), for arrays that stay.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bimu_hw.crossbar.ir_drop_matrix import effective_matrix
from bimu_hw.crossbar.ir_drop_network import Floats, Network, check_tolerance, check_wires
from bimu_hw.crossbar.ir_drop_shorts import solve_with_shorts
from bimu_hw.errors import CircuitError
from bimu_hw.kernels import ir_drop as kernels
from bimu_hw.kernels.ir_drop_arrays import branches, solve_arrays

__all__ = ["IrDropResult", "IrDropSolver", "ProgrammedArray", "effective_matrix", "matrix_pays_off", "solve_ir_drop"]


def matrix_pays_off(n_wordlines: int, n_bitlines: int, n_vectors: int) -> bool:
    """Return whether building the effective matrix costs less than solving for that many vectors.

    The build takes some long x short**2 (7/3 short + long) operations, a solve some 10 walks over the array. Measured
    on one core at 1 to 10 ohm, they meet at 27-40 vectors for 64 x 64, 70-100 for 128 x 128, 110-165 for 256 x 256.
    """
    short, long = sorted((n_wordlines, n_bitlines))
    return n_vectors * 6.7 * (short * long) ** 0.5 >= short * (7 / 3 * short + long)


class Branches(NamedTuple):
    """Node voltages [V] and cell currents [A] in the kernels' order, [vector, line, column]."""

    line_voltages: Floats
    column_voltages: Floats
    cell_currents: Floats


class IrDropResult:
    """Currents of one array; what else the circuit does is computed when asked for.

    Arrays start with the dimension ``vector`` if voltages were given with one. Currents count from the
    sources to the sense amplifiers. `route` says how the currents were found.
    """

    def __init__(
        self, network: Network, vectors: Floats, single: bool, tolerance: float, route: str, sensed: Floats,
        driven: Floats | None = None, branches: Branches | None = None,
    ) -> None:  # fmt: skip
        self.route = route
        self.tolerance = tolerance
        self.transposed = network.transposed
        self._network = network
        self._vectors = vectors
        self._single = single
        self._sensed = sensed
        if driven is not None:
            self._driven = driven
        if branches is not None:
            self._branches = branches

    @cached_property
    def _branches(self) -> Branches:
        return _solve_branches(self._network, self._vectors, self.tolerance)

    @cached_property
    def _driven(self) -> Floats:
        return self._branches.cell_currents.sum(axis=2)

    def _lines(self, arrays: Floats) -> Floats:
        arrays = self._network.flip(arrays)
        return arrays[0] if self._single else arrays

    def _cells(self, arrays: Floats) -> Floats:
        arrays = self._network.restore(arrays)
        return arrays[0] if self._single else arrays

    def _totals(self, values: Floats) -> Floats:
        return values[0] if self._single else values

    @property
    def currents(self) -> Floats:
        """Sensed currents [..., bitline], or [..., wordline] of a transposed read [A]."""
        return self._lines(self._sensed)

    @property
    def source_currents(self) -> Floats:
        """Currents that the sources deliver [..., wordline], or [..., bitline] of a transposed read [A]."""
        return self._lines(self._driven)

    @property
    def bitline_currents(self) -> Floats:
        """Currents at the bit-line terminals [..., bitline]: sensed, or delivered if transposed [A]."""
        return self.source_currents if self.transposed else self.currents

    @property
    def wordline_currents(self) -> Floats:
        """Currents at the word-line terminals [..., wordline]: delivered, or sensed if transposed [A]."""
        return self.currents if self.transposed else self.source_currents

    @property
    def wordline_voltages(self) -> Floats:
        """Voltages on the word lines at the cells [..., wordline, bitline] [V]."""
        b = self._branches
        return self._cells(b.column_voltages if self.transposed else b.line_voltages)

    @property
    def bitline_voltages(self) -> Floats:
        """Voltages on the bit lines at the cells [..., wordline, bitline] [V]."""
        b = self._branches
        return self._cells(b.line_voltages if self.transposed else b.column_voltages)

    @property
    def cell_currents(self) -> Floats:
        """Currents through the cells [..., wordline, bitline] [A]."""
        return self._cells(self._branches.cell_currents)

    @property
    def cell_dissipation(self) -> Floats:
        """Power dissipated in each cell [..., wordline, bitline] [W]."""
        b = self._branches
        return self._cells(b.cell_currents * (b.line_voltages - b.column_voltages))

    def _segment_powers(self) -> tuple[Floats, Floats]:
        # Currents of the segments are sums of cell currents, which holds for ideal wires too.
        cells, wires = self._branches.cell_currents, self._network.wires
        along_lines = np.cumsum(cells[:, :, ::-1], axis=2)
        along_columns = np.cumsum(cells, axis=1)
        in_wires = wires.line * (along_lines**2).sum(axis=(1, 2)) + wires.column * (along_columns**2).sum(axis=(1, 2))
        driver, sense = wires.source - wires.line, wires.sense - wires.column
        at_ends = driver * (along_lines[:, :, -1] ** 2).sum(axis=1) + sense * (along_columns[:, -1] ** 2).sum(axis=1)
        return in_wires, at_ends

    @property
    def wire_dissipation(self) -> Floats:
        """Power dissipated in all segments of word lines and bit lines [...] [W]."""
        return self._totals(self._segment_powers()[0])

    @property
    def terminal_dissipation(self) -> Floats:
        """Power dissipated in the driver and sense resistances [...] [W]."""
        return self._totals(self._segment_powers()[1])

    @property
    def source_power(self) -> Floats:
        """Power that the sources deliver [...]; cells, wires and terminals dissipate as much [W]."""
        return self._totals((self._vectors * self._driven).sum(axis=1))


def solve_ir_drop(
    conductance: ArrayLike,
    voltages: ArrayLike,
    *,
    r_wordline: float,
    r_bitline: float,
    r_driver: float = 0.0,
    r_sense: float = 0.0,
    transposed: bool = False,
    tolerance: float = 1e-10,
) -> IrDropResult:
    """Solve a crossbar with wire resistance exactly.

    Parameters
    ----------
    conductance : array [wordline, bitline]
        Of the cells, in siemens: 0 is open, infinity a short.
    voltages : array [wordline] or [vector, wordline]
        Of the sources, in volt; of the bit lines if `transposed`.
    r_wordline, r_bitline : float
        Resistance of a wire segment between neighbouring cells, in ohm; 0 is an ideal wire.
    r_driver, r_sense : float
        Resistance at the word-line and bit-line terminals, in ohm, whichever of them is driven.
    transposed : bool
        Drive the bit lines and sense the word lines.
    tolerance : float
        Bound on the error of every terminal current over the largest sensed current (of each vector); errors
        of a few roundings of the summed cell currents are allowed beyond it, which matters only where
        currents cancel.

    Returns
    -------
    IrDropResult

    Raises
    ------
    CircuitError
        If a conductance is negative or NaN, a shape does not fit, a voltage is not finite, a resistance is
        not allowed, there is a loop without resistance, or the tolerance is not reached.

    Examples
    --------
    >>> result = solve_ir_drop([[1e-3]], [1.0], r_wordline=500.0, r_bitline=500.0)
    >>> float(round(result.bitline_currents[0], 12))
    0.0005
    """
    where = "solve_ir_drop"
    network = Network.check(where, conductance, transposed, r_wordline, r_bitline, r_driver, r_sense)
    tolerance = check_tolerance(where, tolerance)
    given = network.check_voltages(voltages)
    vectors = network.flip(given)
    single = np.ndim(voltages) == 1
    if network.shorts_join_lines:
        solution = solve_with_shorts(network, vectors)
        return IrDropResult(
            network, vectors, single, tolerance, "nodal analysis",
            solution.sensed, solution.driven, Branches(*solution[2:]),
        )  # fmt: skip
    if matrix_pays_off(network.n_lines, network.n_columns, len(vectors)):
        matrix = effective_matrix(
            conductance, r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense,
            transposed=transposed,
        )  # fmt: skip
        return IrDropResult(network, vectors, single, tolerance, "effective matrix", network.flip(given @ matrix))
    sensed = np.empty((1, len(vectors), network.n_columns))
    driven = np.empty((1, len(vectors), network.n_lines))
    factors, work = kernels.allocate(network.n_lines, network.n_columns)
    status, _, vector = solve_arrays(
        network.conductance[None], vectors[None], tolerance, kernels.iteration_budget(network.n_lines,
        network.n_columns), network.wires, factors, work, sensed, driven,
    )  # fmt: skip
    if status != kernels.OK:
        raise not_converged(where, tolerance, f"vector {vector}")
    return IrDropResult(network, vectors, single, tolerance, "line elimination", sensed[0], driven[0])


def not_converged(where: str, tolerance: float, which: str) -> CircuitError:
    """Return the error of a solve whose certified error stayed above its tolerance."""
    return CircuitError(
        f"{where}, {which}: the error of the currents could not be certified below tolerance = {tolerance:g} of the "
        "largest current; allow a larger tolerance, or bring the resistances of cells, wires and terminals, which span "
        "too many orders of magnitude, closer together."
    )


def _solve_branches(network: Network, vectors: Floats, tolerance: float) -> Branches:
    """Solve for the node voltages and cell currents of all vectors."""
    cells, wires = network.conductance, network.wires
    m, n = cells.shape
    factors, work = kernels.allocate(m, n)
    kernels.factorise(cells, wires, factors, work.carry)
    result = Branches(*(np.empty((len(vectors), m, n)) for _ in range(3)))
    for k, vector in enumerate(vectors):
        kernels.inject(vector, wires, factors, work.injected)
        if kernels.solve(tolerance, kernels.iteration_budget(m, n), wires, factors, work, np.empty(n)) < 0:
            raise not_converged(network.where, tolerance, f"vector {k}")
        result.column_voltages[k] = work.b
        none = np.empty((0, 0))
        branches(
            cells, vector, none, wires, work.b, work.row, result.line_voltages[k], result.cell_currents[k]
        )
    return result


class IrDropSolver:
    """Line elimination for arrays that change with every sample, with its work space kept.

    Parameters
    ----------
    n_wordlines, n_bitlines : int
        Shape of the arrays.
    r_wordline, r_bitline, r_driver, r_sense, tolerance : float
        As in `solve_ir_drop`.

    Notes
    -----
    One instance serves one thread at a time; the kernels release the interpreter lock.
    """

    def __init__(
        self, n_wordlines: int, n_bitlines: int, *, r_wordline: float, r_bitline: float, r_driver: float = 0.0,
        r_sense: float = 0.0, tolerance: float = 1e-10,
    ) -> None:  # fmt: skip
        self.shape = (int(n_wordlines), int(n_bitlines))
        if min(self.shape) < 1:
            raise CircuitError(f"IrDropSolver: got shape {self.shape}; expected at least one word line and bit line.")
        self.tolerance = check_tolerance("IrDropSolver", tolerance)
        self._resistances = dict(r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense)
        self._wires = tuple(check_wires("IrDropSolver", t, **self._resistances) for t in (False, True))
        self._spaces: dict[bool, tuple[kernels.Factors, kernels.Work]] = {}

    def solve(
        self, conductance: Floats, voltages: Floats, *, transposed: bool = False, currents: Floats | None = None,
        source_currents: Floats | None = None,
    ) -> Floats:  # fmt: skip
        """Solve arrays one after the other.

        Parameters
        ----------
        conductance : float64[array, wordline, bitline]
            In siemens; 0 is open, infinity a short.
        voltages : float64[array or 1, wordline]
            In volt, one row per array or one for all; [array or 1, bitline] if `transposed`.
        transposed : bool
            Drive the bit lines and sense the word lines.
        currents : float64[array, bitline], optional
            Filled with the sensed currents [A]; [array, wordline] if `transposed`.
        source_currents : float64[array, wordline], optional
            Filled with the currents of the sources [A]; [array, bitline] if `transposed`.

        Returns
        -------
        float64[array, bitline]
            `currents`, or a new array if it was not given.

        Raises
        ------
        CircuitError
            As `solve_ir_drop`.
        """
        n_arrays = len(conductance)
        n_columns, n_lines = self.shape if transposed else self.shape[::-1]
        if currents is None:
            currents = np.empty((n_arrays, n_columns))
        for name, array, shapes in (
            ("conductance", conductance, {(n_arrays, *self.shape)}),
            ("voltages", voltages, {(n_arrays, n_lines), (1, n_lines)}),
            ("currents", currents, {(n_arrays, n_columns)}),
            ("source_currents", source_currents, {(n_arrays, n_lines)}),
        ):
            if array is not None and (array.dtype != np.float64 or array.shape not in shapes):
                expected = " or ".join(str(list(shape)) for shape in sorted(shapes))
                raise CircuitError(
                    f"IrDropSolver, {name}: got {array.dtype} of shape {list(array.shape)}; expected float64 of shape "
                    f"{expected}."
                )
        if transposed not in self._spaces:
            self._spaces[transposed] = kernels.allocate(n_lines, n_columns)
        cells = conductance[:, ::-1, ::-1].transpose(0, 2, 1) if transposed else conductance
        step = -1 if transposed else 1
        vectors = np.ascontiguousarray(voltages[:, None, ::step])
        sensed = np.empty((n_arrays, 1, n_columns))
        driven = np.empty((n_arrays if source_currents is not None else 0, 1, n_lines))
        self._run(cells, vectors, transposed, sensed, driven)
        currents[:] = sensed[:, 0, ::step]
        if source_currents is not None:
            source_currents[:] = driven[:, 0, ::step]
        return currents

    def _run(self, cells: Floats, vectors: Floats, transposed: bool, sensed: Floats, driven: Floats) -> None:
        first = 0
        wires, spaces = self._wires[transposed], self._spaces[transposed]
        budget = kernels.iteration_budget(*self.shape)
        while first < len(cells):
            own = vectors[first:] if len(vectors) > 1 else vectors
            status, k, _ = solve_arrays(
                cells[first:], own, self.tolerance, budget, wires, *spaces, sensed[first:], driven[first:]
            )
            if status == kernels.OK:
                return
            where = f"IrDropSolver, array {first + k}"
            if status == kernels.BAD_CONDUCTANCE:
                raise CircuitError(f"{where}: a conductance is negative or NaN; allowed are 0 (open) to inf (short).")
            if status == kernels.BAD_VOLTAGE:
                raise CircuitError(f"{where}: a voltage is not finite; give finite volts.")
            if status == kernels.NOT_CONVERGED:
                raise not_converged("IrDropSolver", self.tolerance, f"array {first + k}")
            # A short on a line without resistance: that array takes the other road, the rest goes on.
            solution = solve_with_shorts(Network(where, cells[first + k], wires, transposed), own[min(k, len(own) - 1)])
            sensed[first + k] = solution.sensed
            if driven.size:
                driven[first + k] = solution.driven
            first += k + 1


class ProgrammedArray:
    """An array that stays as it is, read again and again: takes the effective matrix once that pays off.

    Parameters
    ----------
    conductance : array [wordline, bitline]
        In siemens; copied.
    r_wordline, r_bitline, r_driver, r_sense, tolerance : float
        As in `solve_ir_drop`.
    n_vectors : int
        Reads to expect. If they pay for the matrix it is built with the first read; if they turn out to be
        more, as soon as the reads so far would have paid for it.
    """

    def __init__(
        self, conductance: ArrayLike, *, r_wordline: float, r_bitline: float, r_driver: float = 0.0,
        r_sense: float = 0.0, tolerance: float = 1e-10, n_vectors: int = 0,
    ) -> None:  # fmt: skip
        self._options = dict(r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense)
        self._conductance = Network.check("ProgrammedArray", conductance, False, **self._options).conductance
        self._tolerance = check_tolerance("ProgrammedArray", tolerance)
        self._expected = int(n_vectors)
        self._read = 0

    @cached_property
    def matrix(self) -> Floats:
        """The effective matrix [wordline, bitline] in siemens, built when first asked for."""
        return effective_matrix(self._conductance, transposed=False, **self._options)

    def _pays_off(self) -> bool:
        m, n = self._conductance.shape
        return matrix_pays_off(m, n, max(self._read, self._expected))

    def read(self, voltages: ArrayLike, transposed: bool = False) -> Floats:
        """Return the sensed currents [A] for voltages [V], [..., wordline] to [..., bitline] or, transposed, back."""
        network = Network("ProgrammedArray", self._conductance.T if transposed else self._conductance,
                          check_wires("ProgrammedArray", transposed, **self._options), transposed)  # fmt: skip
        vectors = network.check_voltages(voltages)
        self._read += len(vectors)
        if "matrix" in self.__dict__ or self._pays_off():
            return np.asarray(voltages, dtype=np.float64) @ (self.matrix.T if transposed else self.matrix)
        result = solve_ir_drop(
            self._conductance, voltages, transposed=transposed, tolerance=self._tolerance, **self._options
        )
        return result.currents
