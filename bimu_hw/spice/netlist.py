"""A crossbar as a SPICE netlist, every element named by where it is.

======================  ==============================================================================
``Vw3``, ``Vb5``        source at word line 3 and bit line 5; 0 V where a line is sensed
``Rd3``, ``Rs5``        driver resistance of word line 3, sense resistance of bit line 5
``Rw3_5``               segment of word line 3 that leads to cell (3, 5), from the left
``Rb3_5``               segment of bit line 5 that leads on from cell (3, 5), downwards
``Rc3_5``               cell (3, 5), 1 / conductance
``w3_5``, ``b3_5``      nodes of cell (3, 5) on its word line and on its bit line
``tw3``, ``tb5``        terminals of word line 3 and bit line 5
======================  ==============================================================================

The topology is that of `bimu_hw.crossbar.ir_drop`. A cell without conductance is left out. What has no resistance is
left out too and its two nodes are one: SPICE has no resistor of 0 ohm, and a source of 0 V in its place would add an
unknown. The merged node has the name nearest to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from bimu_hw.errors import CircuitError

#: Nothing is linearised here: with these, an operating point is as exact as a solution in double precision.
_OPTIONS = ".options gmin=1e-18 reltol=1e-9 abstol=1e-18"


@dataclass(frozen=True)
class Wires:
    """Resistances of an array, in ohm.

    Attributes
    ----------
    r_wordline, r_bitline : float
        Of a segment between neighbouring cells.
    r_driver, r_sense : float
        At the terminals of word lines and of bit lines.
    """

    r_wordline: float = 0.0
    r_bitline: float = 0.0
    r_driver: float = 0.0
    r_sense: float = 0.0

    @property
    def ideal(self) -> bool:
        """Whether all of them are 0."""
        return not any((self.r_wordline, self.r_bitline, self.r_driver, self.r_sense))

    def options(self) -> dict[str, float]:
        """Return them as arguments of `bimu_hw.crossbar.ir_drop.solve_ir_drop`."""
        return dict(vars(self))


@dataclass(frozen=True)
class Circuit:
    """One array with the voltages that drive it.

    Attributes
    ----------
    conductance : float64[wordline, bitline]
        In siemens; 0 is open, infinity a short.
    voltages : float64[wordline], or [bitline] if `transposed`
        Of the sources, in volt.
    wires : Wires
    transposed : bool
        Whether bit lines are driven and word lines sensed.
    """

    conductance: npt.NDArray[np.float64]
    voltages: npt.NDArray[np.float64]
    wires: Wires
    transposed: bool = False

    @staticmethod
    def of(conductance: ArrayLike, voltages: ArrayLike, wires: Wires, transposed: bool = False) -> Circuit:
        """Return a circuit of these arrays, checked.

        Raises
        ------
        CircuitError
            If a shape does not fit, a conductance is negative or NaN, a voltage is not finite, or a resistance is
            negative or not finite.
        """
        cells = np.asarray(conductance, np.float64)
        volts = np.asarray(voltages, np.float64)
        if cells.ndim != 2 or 0 in cells.shape:
            raise CircuitError(f"netlist, conductance: got shape {list(cells.shape)}; expected [wordline, bitline].")
        n = cells.shape[1] if transposed else cells.shape[0]
        if volts.shape != (n,):
            raise CircuitError(f"netlist, voltages: got shape {list(volts.shape)}; expected [{n}], one per source.")
        if not (cells >= 0.0).all():
            raise CircuitError("netlist: a conductance is negative or NaN; allowed are 0 (open) to inf (short).")
        if not np.isfinite(volts).all():
            raise CircuitError("netlist: a voltage is not finite; give finite volts.")
        for name, ohm in wires.options().items():
            if not 0.0 <= ohm < np.inf:
                raise CircuitError(f"netlist, {name}: got {ohm!r}; allowed are finite resistances from 0.")
        return Circuit(cells, volts, wires, transposed)

    @property
    def sensed(self) -> list[str]:
        """Names of the sources of 0 V whose currents are sensed, in the order of the lines."""
        m, n = self.conductance.shape
        return [f"Vw{i}" for i in range(m)] if self.transposed else [f"Vb{j}" for j in range(n)]

    @property
    def driven(self) -> list[str]:
        """Names of the sources that drive, in the order of the lines."""
        m, n = self.conductance.shape
        return [f"Vb{j}" for j in range(n)] if self.transposed else [f"Vw{i}" for i in range(m)]


def write_netlist(circuit: Circuit, title: str, comments: Sequence[str] = (), commands: Sequence[str] = ()) -> str:
    """Return a circuit as a SPICE netlist with an operating-point analysis.

    Numbers have 17 significant digits, so reading them back gives the same bits.

    Parameters
    ----------
    circuit : Circuit
    title : str
        First line of the netlist.
    comments : sequence of str
        Lines that follow it.
    commands : sequence of str
        What ngspice is to do, in place of ``.op``.

    Raises
    ------
    CircuitError
        If a path without resistance joins two sources.
    """
    m, n = circuit.conductance.shape
    head = [_plain(title) or "crossbar", *(f"* {_plain(line)}".rstrip() for line in comments)]
    volts = dict(zip(circuit.driven, circuit.voltages, strict=True))
    lines = [f"Vw{i} tw{i} 0 DC {_number(volts.get(f'Vw{i}', 0.0))}" for i in range(m)]
    lines += [f"Vb{j} tb{j} 0 DC {_number(volts.get(f'Vb{j}', 0.0))}" for j in range(n)]
    elements = list(_resistors(circuit))
    nodes = _Nodes()
    for _, a, b, ohm in elements:
        if ohm == 0.0:
            nodes.merge(a, b)
    for name, a, b, ohm in elements:
        a, b = nodes.find(a), nodes.find(b)
        if a != b:
            lines.append(f"{name} {a} {b} {_number(ohm)}")
    analysis = [".control", *commands, "quit", ".endc"] if commands else [".op"]
    return "\n".join([*head, *lines, _OPTIONS, *analysis, ".end", ""])


def _resistors(circuit: Circuit) -> Iterator[tuple[str, str, str, float]]:
    """Yield name, nodes and ohms of every resistor, terminals first."""
    m, n = circuit.conductance.shape
    wires = circuit.wires
    for i in range(m):
        yield f"Rd{i}", f"tw{i}", f"dw{i}", wires.r_driver
    for j in range(n):
        yield f"Rs{j}", f"tb{j}", f"sb{j}", wires.r_sense
    for i in range(m):
        for j in range(n):
            yield f"Rw{i}_{j}", f"w{i}_{j - 1}" if j else f"dw{i}", f"w{i}_{j}", wires.r_wordline
    for j in range(n):
        for i in range(m - 1, -1, -1):
            yield f"Rb{i}_{j}", f"b{i + 1}_{j}" if i < m - 1 else f"sb{j}", f"b{i}_{j}", wires.r_bitline
    for i, j in np.argwhere(circuit.conductance > 0.0):
        yield f"Rc{i}_{j}", f"w{i}_{j}", f"b{i}_{j}", 1.0 / float(circuit.conductance[i, j])


class _Nodes:
    """Nodes that are one because nothing resists between them; a terminal gives its name to all of them."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, node: str) -> str:
        while node in self._parent:
            node = self._parent[node]
        return node

    def merge(self, a: str, b: str) -> None:
        a, b = self.find(a), self.find(b)
        if a == b:
            return
        if b.startswith("t"):
            a, b = b, a
        if b.startswith("t"):
            raise CircuitError(
                f"netlist: the sources at {a} and {b} are joined by a path without resistance; give the wires or the "
                "terminals some, or leave out the short."
            )
        self._parent[b] = a


def _number(value: float) -> str:
    return f"{float(value):.17g}"


def _plain(text: str) -> str:
    """Return a text as one line of ASCII, which every SPICE reads."""
    return " ".join(text.split()).encode("ascii", "replace").decode()
