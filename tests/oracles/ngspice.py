"""Operating points of crossbars by ngspice, as an independent witness.

Run as a script, it writes the golden files anew: ``python tests/oracles/ngspice.py`` (needs ngspice on PATH). Those of
`GOLDEN` are solved from the netlists here; those of `EXPORTED` are the package's own netlists, with what ngspice
printed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bimu_hw.spice.netlist import Circuit, Wires
from bimu_hw.spice.ngspice import check_netlist

GOLDEN = Path(__file__).parent.parent / "golden" / "ir_drop"
EXPORTED = Path(__file__).parent.parent / "golden" / "spice"


def version() -> str | None:
    """Return the version ngspice gives of itself, or None if it is not on PATH."""
    if shutil.which("ngspice") is None:
        return None
    found = re.search(r"ngspice-(\S+)", subprocess.run(["ngspice", "--version"], capture_output=True, text=True).stdout)
    return found.group(1) if found else "unknown"


def netlist(conductance, voltages, *, r_wordline, r_bitline, r_driver=0.0, r_sense=0.0, transposed=False) -> str:
    """Return the circuit as text: one element per line, each terminal through a voltage source (0 V where sensed).

    A source of 0 V stands for a resistance of zero.
    """
    conductance = np.asarray(conductance, float)
    m, n = conductance.shape
    lines = ["crossbar operating point"]
    count = 0

    def resistor(a: str, b: str, ohm: float) -> None:
        nonlocal count
        count += 1
        lines.append(f"R{count} {a} {b} {ohm!r}" if ohm > 0.0 else f"Vz{count} {a} {b} 0")

    for i in range(m):
        volt = 0.0 if transposed else float(voltages[i])
        lines.append(f"Vw{i} tw{i} 0 {volt!r}")
        resistor(f"tw{i}", f"w{i}_0", float(r_driver + r_wordline))
        for j in range(n - 1):
            resistor(f"w{i}_{j}", f"w{i}_{j + 1}", float(r_wordline))
    for j in range(n):
        volt = float(voltages[j]) if transposed else 0.0
        lines.append(f"Vb{j} tb{j} 0 {volt!r}")
        resistor(f"b{m - 1}_{j}", f"tb{j}", float(r_bitline + r_sense))
        for i in range(m - 1):
            resistor(f"b{i}_{j}", f"b{i + 1}_{j}", float(r_bitline))
    for i in range(m):
        for j in range(n):
            if conductance[i, j] > 0.0:
                ohm = 0.0 if np.isinf(conductance[i, j]) else 1.0 / float(conductance[i, j])
                resistor(f"w{i}_{j}", f"b{i}_{j}", ohm)
    words = " ".join(f"i(Vw{i})" for i in range(m))
    bits = " ".join(f"i(Vb{j})" for j in range(n))
    lines += [".options gmin=1e-18 reltol=1e-9 abstol=1e-18", ".control", "set numdgt=16", "op"]
    lines += [f"print {name}" for name in f"{words} {bits}".split()]
    return "\n".join([*lines, "quit", ".endc", ".end", ""])


def run(text: str, timeout: float = 600.0) -> dict[str, float]:
    """Return what ngspice printed, by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crossbar.cir"
        path.write_text(text)
        done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=timeout)
    found = {k.lower(): float(v) for k, v in re.findall(r"^(i\(\w+\)) = (\S+)", done.stdout, re.MULTILINE)}
    if not found:
        raise RuntimeError(f"ngspice printed no current: {done.stderr or done.stdout}")
    return found


def currents(conductance, voltages, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return the currents at the word-line and bit-line terminals, counted from sources to sense amplifiers."""
    m, n = np.shape(conductance)
    found = run(netlist(conductance, voltages, **options))
    # SPICE counts a source's current from its positive node through the source.
    sign = -1.0 if not options.get("transposed") else 1.0
    words = sign * np.array([found[f"i(vw{i})"] for i in range(m)])
    bits = -sign * np.array([found[f"i(vb{j})"] for j in range(n)])
    return words, bits


def golden_cases() -> dict[str, dict]:
    """Return the inputs of the golden files."""
    rng = np.random.default_rng(20260605)
    binary = np.where(rng.random((16, 16)) < 0.5, 1 / 4000, 1 / 9000)
    spread = 10.0 ** rng.uniform(-6, -3, (7, 5))
    faulty = 10.0 ** rng.uniform(-5, -4, (6, 8))
    faulty[2, 3] = faulty[4, 0] = np.inf
    faulty[1, 1] = faulty[5, 7] = 0.0
    return {
        "binary_16x16": dict(
            conductance=binary, voltages=rng.choice([-0.1, 0.1], 16), r_wordline=1.0, r_bitline=1.0
        ),
        "spread_7x5": dict(
            conductance=spread, voltages=rng.uniform(-0.3, 0.3, 7), r_wordline=2.5, r_bitline=0.7, r_driver=120.0,
            r_sense=35.0,
        ),
        "transposed_7x5": dict(
            conductance=spread, voltages=rng.uniform(-0.3, 0.3, 5), r_wordline=2.5, r_bitline=0.7, r_driver=120.0,
            r_sense=35.0, transposed=True,
        ),
        "faulty_6x8": dict(
            conductance=faulty, voltages=rng.uniform(0.0, 0.2, 6), r_wordline=10.0, r_bitline=10.0
        ),
        "ideal_wordlines_6x8": dict(
            conductance=np.where(np.isinf(faulty), 1e-4, faulty), voltages=rng.uniform(0.0, 0.2, 6), r_wordline=0.0,
            r_bitline=10.0, r_sense=50.0,
        ),
    }  # fmt: skip


def write_golden() -> None:
    """Write inputs, netlists and ngspice's currents to `GOLDEN`."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, case in golden_cases().items():
        words, bits = currents(**case)
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in case.items()}
        record = {
            "ngspice": version(),
            "units": "siemens, volt, ohm, ampere",
            "input": plain,
            "wordline_currents": words.tolist(),
            "bitline_currents": bits.tolist(),
        }
        (GOLDEN / f"{name}.json").write_text(json.dumps(record, indent=1).replace("Infinity", '"inf"') + "\n")
        (GOLDEN / f"{name}.cir").write_text(netlist(**case))


def exported_cases() -> dict[str, Circuit]:
    """Return circuits for the package's own netlists: every kind of merged node, opens, a short, both directions."""
    rng = np.random.default_rng(20261122)
    cells = 10.0 ** rng.uniform(-5, -4, (4, 6))
    cells[1, 2] = 0.0
    faulty = cells.copy()
    faulty[2, 4] = np.inf
    rows, columns = rng.uniform(-0.2, 0.2, 4), rng.uniform(-0.2, 0.2, 6)
    return {
        "wires_4x6": Circuit.of(faulty, rows, Wires(1.5, 0.7, 120.0, 35.0)),
        "backward_4x6": Circuit.of(faulty, columns, Wires(1.5, 0.7, 120.0, 35.0), True),
        "no_terminals_4x6": Circuit.of(cells, rows, Wires(1.0, 1.0)),
        "ideal_wordlines_4x6": Circuit.of(cells, rows, Wires(0.0, 10.0, 0.0, 50.0)),
        "ideal_bitlines_4x6": Circuit.of(cells, columns, Wires(5.0, 0.0, 20.0), True),
        "ideal_4x6": Circuit.of(cells, rows, Wires()),
    }


def write_exported() -> None:
    """Write the package's netlists and what ngspice prints for them to `EXPORTED`."""
    EXPORTED.mkdir(parents=True, exist_ok=True)
    for name, circuit in exported_cases().items():
        path = EXPORTED / f"{name}.cir"
        path.write_text(check_netlist(circuit, name))
        done = subprocess.run(["ngspice", "-n", "-b", str(path)], capture_output=True, text=True, check=False)
        printed = [line for line in done.stdout.splitlines() if line.startswith("i(")]
        (EXPORTED / f"{name}.out").write_text("\n".join([f"ngspice {version()}", *printed, ""]))


if __name__ == "__main__":
    write_golden()
    write_exported()
