"""The simulator's own solution of a crossbar against that of ngspice."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.ir_drop import IrDropResult, solve_ir_drop
from bimu_hw.errors import CircuitError
from bimu_hw.scenario import Scenario
from bimu_hw.spice.netlist import Circuit, Wires
from bimu_hw.spice.ngspice import solve_by_ngspice
from bimu_hw.spice.replay import CapturedRead

_RESISTANCES = ("r_wordline", "r_bitline", "r_driver", "r_sense")


@dataclass(frozen=True)
class Comparison:
    """One operating point, found both ways.

    Attributes
    ----------
    difference : float
        Largest difference between two sensed currents over the largest sensed current.
    largest : float
        Largest sensed current, in ampere.
    loss : float
        Share of the sensed currents, added up by magnitude, that the wires take away.
    power, power_ngspice : float
        Delivered by the sources, in watt.
    seconds : float
        What ngspice took.
    """

    difference: float
    largest: float
    loss: float
    power: float
    power_ngspice: float
    seconds: float


def wires_of(scenario: Scenario, *, from_card: bool = False) -> Wires:
    """Return the resistances that a run reckoned with, or with `from_card` those of its component card in any case.

    Raises
    ------
    CircuitError
        If the component card states none.
    """
    if scenario.crossbar.ir_drop == "none" and not from_card:
        return Wires()
    costs = scenario.component_card.costs
    missing = [name for name in _RESISTANCES if name not in costs]
    if missing:
        raise CircuitError(f"component card {scenario.component_card.name!r}: states no {missing[0]}.")
    return Wires(*(costs[name].value for name in _RESISTANCES))


def ideal_currents(circuit: Circuit) -> npt.NDArray[np.float64]:
    """Return the sensed currents without any wire resistance, in ampere; not finite where a short is driven."""
    cells = circuit.conductance.T if circuit.transposed else circuit.conductance
    with np.errstate(invalid="ignore"):
        return circuit.voltages @ cells


def solve(circuit: Circuit) -> IrDropResult:
    """Return the simulator's own solution of a circuit."""
    return solve_ir_drop(
        circuit.conductance, circuit.voltages, transposed=circuit.transposed, **circuit.wires.options()
    )


def compare(circuit: Circuit, title: str = "crossbar", timeout: float = 600.0) -> Comparison:
    """Solve a circuit both ways.

    Raises
    ------
    CircuitError
        If either way finds no solution.
    """
    ours = solve(circuit)
    began = time.perf_counter()
    theirs = solve_by_ngspice(circuit, title, timeout)
    seconds = time.perf_counter() - began
    largest = float(np.abs(theirs.sensed).max())
    difference = float(np.abs(ours.currents - theirs.sensed).max())
    ideal = float(np.abs(ideal_currents(circuit)).sum())
    return Comparison(
        # A plane of zeros drives nothing, and nothing is what both have to find.
        difference / largest if largest else difference,
        largest,
        1.0 - float(np.abs(ours.currents).sum()) / ideal if ideal else 0.0,
        float(ours.source_power),
        theirs.power,
        seconds,
    )


def describe_read(read: CapturedRead, plane: int, wires: Wires) -> list[str]:
    """Return the lines that say which array this is: the comments of its netlist."""
    s, chosen = read.scenario, read.selection
    seeds = ", ".join(f"{name} {getattr(s.seeds, name)}" for name in ("fabrication", "noise", "data"))
    m, n = read.layout.shape(*read.tile_shape)
    inputs = [f"inputs are {s.crossbar.inputs}"]
    if s.crossbar.inputs == "pulse_width":
        inputs = ["inputs are pulse widths: a voltage is the mean over the slots of a plane"]
    resistances = ", ".join(f"{name} = {ohm:g} ohm" for name, ohm in wires.options().items())
    return [
        s.title,
        f"scenario {s.hash}, seeds: {seeds}",
        f"query {chosen.query} (example {read.example}, task {read.task}, at {read.tick} ps), "
        f"{'backward' if chosen.backward else 'forward'} read",
        f"layer {chosen.layer}, tile {chosen.tile[0]},{chosen.tile[1]}, sample {chosen.sample}, plane {plane}",
        f"{read.tile_shape[0]} x {read.tile_shape[1]} synapses, mapping {read.layout.columns}: {m} word lines, "
        f"{n} bit lines",
        *inputs,
        "wires: none have resistance" if wires.ideal else f"wires: {resistances}",
        "Vw3: source of word line 3; Vb5: bit line 5 (0 V where sensed); Rc3_5: cell at word line 3 and bit line 5;",
        "Rw3_5, Rb3_5: segments to that cell and on from it; Rd3, Rs5: driver and sense resistance",
    ]
