"""Operating points by ngspice, which is found on PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import CircuitError
from bimu_hw.spice.netlist import Circuit, write_netlist

_PRINTED = re.compile(r"^i\((v\w+)\) = (\S+)\s*$", re.MULTILINE | re.IGNORECASE)
#: Seconds of one operating point over cells**2.5, on one core: 2 s for 64 x 64, 10 s for 64 x 128.
_SECONDS = 1.8e-9


@dataclass(frozen=True)
class OperatingPoint:
    """What ngspice found, counted from the sources to the sense amplifiers.

    Attributes
    ----------
    sensed, driven : float64[line]
        Currents in ampere at the sensed and at the driven lines.
    power : float
        Delivered by the sources, in watt.
    """

    sensed: npt.NDArray[np.float64]
    driven: npt.NDArray[np.float64]
    power: float


def estimate_seconds(n_wordlines: int, n_bitlines: int) -> float:
    """Return about how long ngspice takes for one operating point; within a factor of 3, on one core.

    It grows with the fifth power of the side of a square array. Arrays with ideal wires are much quicker.
    """
    return 0.05 + _SECONDS * float(n_wordlines * n_bitlines) ** 2.5


def find_ngspice() -> str:
    """Return the path of ngspice.

    Raises
    ------
    CircuitError
        If it is not on PATH.
    """
    found = shutil.which("ngspice")
    if found is None:
        raise CircuitError("ngspice: not found on PATH; install it, for example with: apt-get install ngspice.")
    return found


def check_netlist(circuit: Circuit, title: str) -> str:
    """Return the netlist with the commands that let ngspice print the currents of all sources."""
    sources = (*circuit.driven, *circuit.sensed)
    return write_netlist(circuit, title, commands=["set numdgt=16", "op", *(f"print i({name})" for name in sources)])


def read_operating_point(circuit: Circuit, printed: str) -> OperatingPoint:
    """Read what ngspice printed for a netlist of `check_netlist`.

    Raises
    ------
    CircuitError
        If a current is missing or not finite.
    """
    found = {name.lower(): float(value) for name, value in _PRINTED.findall(printed)}
    # SPICE counts a source's current from its positive node through the source.
    driven = -np.array([found.get(name.lower(), np.nan) for name in circuit.driven])
    sensed = np.array([found.get(name.lower(), np.nan) for name in circuit.sensed])
    if not (np.isfinite(driven).all() and np.isfinite(sensed).all()):
        words = [line.strip() for line in printed.splitlines() if re.search("error|singular|fail", line, re.IGNORECASE)]
        raise CircuitError(f"ngspice: found no operating point ({(words or ['it printed no currents'])[0][:120]}).")
    return OperatingPoint(sensed, driven, float(circuit.voltages @ driven))


def solve_by_ngspice(circuit: Circuit, title: str = "crossbar", timeout: float = 600.0) -> OperatingPoint:
    """Return the operating point of a circuit.

    Parameters
    ----------
    circuit : Circuit
    title : str
    timeout : float
        Seconds after which ngspice is stopped.

    Raises
    ------
    CircuitError
        If ngspice is not on PATH, takes longer, or finds no solution.
    """
    program = find_ngspice()
    with tempfile.TemporaryDirectory(prefix="bimu-hw-") as folder:
        path = Path(folder) / "crossbar.cir"
        path.write_text(check_netlist(circuit, title), encoding="ascii")
        # -n: no start-up file of the user's may change the analysis.
        command = [program, "-n", "-b", str(path)]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=timeout, cwd=folder,
                env=environment, stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            m, n = circuit.conductance.shape
            raise CircuitError(
                f"ngspice: no operating point of {m} x {n} cells within {timeout:g} s; choose a smaller tile or pass a "
                "longer --timeout."
            ) from None
        except OSError as error:
            raise CircuitError(f"ngspice: {program} cannot be started ({error.strerror}).") from error
    return read_operating_point(circuit, f"{done.stdout}\n{done.stderr}")
