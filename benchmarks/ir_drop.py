"""The exact crossbar solver against a sparse direct solver, badcrossbar and ngspice, side by side in one run.

    pip install . badcrossbar        # badcrossbar needs libcairo2-dev and pkg-config
    python benchmarks/ir_drop.py     # some four minutes; --quick for one and a half

Every row is one read of one binary array (cells of 10 and 100 kohm, 1:1, wires of 1 or 10 ohm per segment) with one
vector. Times are CPU time of one thread, best and median of repeats that alternate between the solvers, building the
system included, for ngspice also starting it and reading its output. Errors are max |dI| / max |I| between the
solvers. Whatever is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402

from bimu_hw.crossbar.circuit import TileCircuit  # noqa: E402
from bimu_hw.crossbar.ir_drop import IrDropSolver, effective_matrix, solve_ir_drop  # noqa: E402
from bimu_hw.crossbar.layout import TileLayout, device_conductances  # noqa: E402

QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
REPEATS = {32: 30, 64: 30, 128: 20, 256: 10, 512: 5, 1024: 3}
PEAK = """
import re, sys
sys.path[:0] = [{root!r}]
import numpy as np
from bimu_hw.crossbar.ir_drop import solve_ir_drop
def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) / 1024
start = status("VmRSS")
cells = np.where(np.random.default_rng(0).random(({n}, {n})) < 0.5, 1e-4, 1e-5)
solve_ir_drop(cells, np.ones({n}), r_wordline=1.0, r_bitline=1.0).currents
print(status("VmHWM") - start)
"""


def array(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return np.where(rng.random((n, n)) < 0.5, 1e-4, 1e-5), rng.choice([-0.2, 0.2], n)


def ours(cells: np.ndarray, volts: np.ndarray, ohm: float) -> np.ndarray:
    return solve_ir_drop(cells, volts, r_wordline=ohm, r_bitline=ohm).currents


def by_splu(cells: np.ndarray, volts: np.ndarray, ohm: float) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    m, n = cells.shape
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    wire = 1.0 / ohm
    edges = [(word, bit, cells), (word[:, 1:], word[:, :-1], wire), (bit[1:], bit[:-1], wire)]
    a = np.concatenate([e[0].ravel() for e in edges])
    b = np.concatenate([e[1].ravel() for e in edges])
    g = np.concatenate([np.broadcast_to(e[2], e[0].shape).ravel() for e in edges])
    ends = np.r_[word[:, 0], bit[-1]]
    triplets = (np.r_[g, g, -g, -g, np.full(m + n, wire)], (np.r_[a, b, a, b, ends], np.r_[a, b, b, a, ends]))
    right = np.zeros(2 * m * n)
    right[word[:, 0]] = volts * wire
    matrix = coo_array(triplets, shape=(2 * m * n,) * 2).tocsc()
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return factors.solve(right)[bit[-1]] * wire


def by_badcrossbar(cells: np.ndarray, volts: np.ndarray, ohm: float) -> np.ndarray:
    import badcrossbar

    solution = badcrossbar.compute(volts[:, None], 1.0 / cells, r_i=ohm, node_voltages=False, all_currents=False)
    return np.asarray(solution.currents.output).ravel()


def by_ngspice(cells: np.ndarray, volts: np.ndarray, ohm: float) -> np.ndarray:
    from oracles import ngspice

    return ngspice.currents(cells, volts, r_wordline=ohm, r_bitline=ohm)[1]


def cpu() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


Solver = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def measure(solvers: dict[str, tuple[Solver, int]], n: int, ohm: float) -> dict[str, tuple[list[float], np.ndarray]]:
    """Run every solver as often as wanted, in turns; a cheap one runs several times per turn."""
    cells, volts = array(n)
    times: dict[str, list[float]] = {name: [] for name in solvers}
    found = {}
    rounds = min(count for _, count in solvers.values())
    ours(cells, volts, ohm)
    for _ in range(rounds):
        for name, (solver, count) in solvers.items():
            for _ in range(max(1, count // rounds)):
                clock = cpu if name == "ngspice" else time.process_time
                start = clock()
                found[name] = solver(cells, volts, ohm)
                times[name].append(clock() - start)
    return {name: (times[name], found[name]) for name in solvers}


def compare(sizes: list[int], ohms: list[float], limits: dict[str, int]) -> None:
    routes = {"splu": by_splu, "badcrossbar": by_badcrossbar, "ngspice": by_ngspice}
    print(f"{'N':>5} {'ohm':>4}  {'solver':<12} {'best':>11} {'median':>11} {'runs':>4}  {'/ ours':>8}  max|dI|/max|I|")
    for n in sizes:
        for ohm in ohms:
            solvers: dict[str, tuple[Solver, int]] = {"bimu-hw": (ours, REPEATS[n])}
            for name, limit in limits.items():
                if n <= limit:
                    slow = n >= 512 or (name == "ngspice" and n >= 64)
                    solvers[name] = (routes[name], 1 if slow else 3)
            results = measure(solvers, n, ohm)
            mine, currents = results["bimu-hw"]
            for name, (times, other) in results.items():
                line = f"{n:>5} {ohm:>4g}  {name:<12} {min(times) * 1e3:>8.3f} ms "
                line += f"{statistics.median(times) * 1e3:>8.3f} ms {len(times):>4}"
                if name != "bimu-hw":
                    error = np.max(np.abs(other - currents)) / np.max(np.abs(other))
                    line += f"  {statistics.median(times) / statistics.median(mine):>7.0f}x  {error:.1e}"
                print(line, flush=True)


def matrix_rows(sizes: list[int]) -> None:
    print("\nEffective matrix at 1 ohm: build, then reads of 4096 vectors at once and of single vectors")
    for n in sizes:
        cells, volts = array(n)
        times = []
        for _ in range(3 if n <= 256 else 1):
            start = time.process_time()
            matrix = effective_matrix(cells, r_wordline=1.0, r_bitline=1.0)
            times.append(time.process_time() - start)
        vectors = np.random.default_rng(2).uniform(-0.2, 0.2, (4096, n))
        best = single = np.inf
        for _ in range(5):
            start = time.process_time()
            vectors @ matrix
            between = time.process_time()
            for vector in vectors:
                vector @ matrix
            best = min(best, (between - start) / 4096)
            single = min(single, (time.process_time() - between) / 4096)
        wanted = ours(cells, volts, 1.0)
        error = np.max(np.abs(volts @ matrix - wanted)) / np.max(np.abs(wanted))
        print(f"{n:>5}  build best {min(times):7.3f} s CPU, {1 / best:>9.0f} vectors/s, one by one {1 / single:>7.0f}/s"
              f", against line elimination {error:.1e}", flush=True)  # fmt: skip


def sample_rows(sizes: list[int], n_samples: int = 5) -> None:
    print(f"\n{n_samples} fresh binary arrays per query through IrDropSolver, 1 ohm, CPU per query")
    for n in sizes:
        cells = np.where(np.random.default_rng(3).random((n_samples, n, n)) < 0.5, 1e-4, 1e-5)
        volts = np.random.default_rng(4).choice([-0.2, 0.2], (1, n))
        solver = IrDropSolver(n, n, r_wordline=1.0, r_bitline=1.0)
        for transposed in (False, True):
            solver.solve(cells, volts, transposed=transposed)
            times = []
            for _ in range(20):
                start = time.process_time()
                solver.solve(cells, volts, transposed=transposed)
                times.append((time.process_time() - start) * 1e3)
            direction = "transposed" if transposed else "forward"
            print(f"{n:>5}  {direction:<10} best {min(times):8.3f} ms, median {statistics.median(times):8.3f} ms")


def loop_rows(n_samples: int = 5) -> None:
    """Time the reads of one query of the digits quickstart: [64, 128, 10] in differential tiles of 64 x 64 synapses."""
    print(f"\nReads of one query in the learning loop, {n_samples} samples, tiles of 64 x 64 pairs, CPU time")
    layout = TileLayout("differential", 165e-6, 95.4e-6)
    reads = [("layer 1, 6 planes", (64, 128), 1, 6, False), ("layer 2, 1 plane", (128, 10), n_samples, 1, False),
             ("layer 2 backward, 9 planes", (128, 10), n_samples, 9, True)]  # fmt: skip
    rng = np.random.default_rng(5)
    for ohm in (0.5, 1.0, 2.5):
        for name, shape, rows, planes, transposed in reads:
            g_on, g_off = device_conductances(165e-6, 95.4e-6, 0.05, rng.normal(size=(*shape, 2)).astype(np.float32))
            circuit = TileCircuit(shape, (64, 64), layout, g_on, g_off, r_wordline=ohm, r_bitline=ohm)
            weights = rng.choice(np.array([-1, 1], np.int8), (n_samples, *shape))
            inputs = rng.integers(0, 2, (rows, planes, shape[int(transposed)])).astype(np.float32)
            inputs[:, 0] = 1.0
            tiles, outputs = (1, shape[0]) if transposed else (-(-shape[0] // 64), shape[1])
            out, power = np.empty((n_samples, planes, tiles, outputs), np.float32), np.empty(n_samples)
            read = circuit.backward if transposed else circuit.forward
            read(inputs, weights, 0, n_samples, out, power)
            times = []
            for _ in range(50):
                start = time.process_time()
                read(inputs, weights, 0, n_samples, out, power)
                times.append((time.process_time() - start) * 1e3)
            print(f"{ohm:>5g} ohm  {name:<27} best {min(times):7.3f} ms, median {statistics.median(times):7.3f} ms")


def error_rows(n_queries: int = 20) -> None:
    """Compare reads of the digits quickstart with the general solver: its chip, its inputs, random gradients."""
    from bimu_hw.crossbar.encoding import gradient_planes
    from bimu_hw.run import Run
    from bimu_hw.scenario import load_scenario

    run = Run(load_scenario(QUICKSTART, ['crossbar.ir_drop="exact"']))
    costs = run.scenario.component_card.costs
    wires = {name: costs[name].value for name in ("r_wordline", "r_bitline", "r_driver", "r_sense")}
    below, top = run.chip._layers
    worst: dict[str, float] = {}
    count = 0
    for query in range(n_queries):
        run.chip.infer(run.example(query)[0], query, 0.0)
        delta = np.random.default_rng(query).normal(size=top.delta.shape).astype(np.float32)
        back, _ = gradient_planes(delta, run.chip.arrays.gradient_bits, run.chip.arrays.inputs)
        for name, layer, planes, transposed in (
            ("layer 1", below, below.planes, False), ("layer 2", top, top.planes, False),
            ("layer 2 backward", top, back, True),
        ):  # fmt: skip
            g_on, g_off = layer.synapses.device_conductances()
            layout = TileLayout("differential", layer.synapses.spec.sampler.costs["g_on"].value,
                                layer.synapses.spec.sampler.costs["g_off"].value)  # fmt: skip
            circuit = TileCircuit(layer.synapses.shape, (64, 64), layout, g_on, g_off, **wires)
            side = circuit.reads[int(transposed)]
            out = np.empty((len(layer.weights), planes.shape[1], side.n_tiles, side.n_outputs), np.float32)
            circuit.read(side, planes, layer.weights, 0, len(out), out, np.empty(len(out)))
            for s, look in enumerate(layer.weights):
                for tile in side.tiles:
                    values = slice(tile.first_value, tile.last_value)
                    outputs = slice(tile.first_output, tile.first_output + tile.plus.size)
                    part = (outputs, values) if transposed else (values, outputs)
                    own = planes[0 if len(planes) == 1 else s, :, values]
                    volts = np.stack([layout.voltages(plane, transposed) for plane in own])
                    cells = layout.conductance(look[part], g_on[part], g_off[part])
                    currents = solve_ir_drop(cells, volts, transposed=transposed, tolerance=1e-10, **wires).currents
                    wanted = np.stack([layout.sums(i, v, transposed) for i, v in zip(currents, own, strict=True)])
                    error = np.abs(out[s, :, tile.number, outputs] - wanted).max(axis=1) * layout.unit(transposed)
                    largest = np.abs(currents).max(axis=1)
                    on = largest > 0.0
                    worst[name] = max(worst.get(name, 0.0), float((error[on] / largest[on]).max()))
                    count += 1
    print(f"\nErrors of reads in the loop against solve_ir_drop, over the largest current of a read, {count} arrays: "
          + ", ".join(f"{name} {error:.1e}" for name, error in worst.items()))  # fmt: skip


def quickstart_row(bursts: int = 4) -> None:
    """Time whole runs of the digits quickstart, one task of 1000 examples, with and without wires, in turns."""
    from bimu_hw.run import run_scenario
    from bimu_hw.scenario import load_scenario

    shortened = ["stream.tasks=1", "stream.epochs=1", "stream.examples=1000"]
    times: dict[str, list[float]] = {"none": [], "exact": []}
    for _ in range(bursts + 1):
        for kind, seconds in times.items():
            scenario = load_scenario(QUICKSTART, [*shortened, f'crossbar.ir_drop="{kind}"'])
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                run_scenario(scenario, Path(folder) / "run", progress=False)
                seconds.append(time.process_time() - start)
    without, exact = (min(seconds[1:]) for seconds in times.values())
    print(f"\nDigits quickstart, one task of 1000 examples, CPU time: ideal wires {without:.2f} s, exact IR drop "
          f"{exact:.2f} s, ratio {exact / without:.2f}")  # fmt: skip


def energy_row(n: int = 128) -> None:
    cells, volts = array(n)
    result = solve_ir_drop(cells, volts, r_wordline=1.0, r_bitline=1.0, r_driver=100.0, r_sense=50.0)
    spent = result.cell_dissipation.sum() + result.wire_dissipation + result.terminal_dissipation
    print(f"\nEnergy at N = {n}: sources {float(result.source_power):.12e} W, dissipated {float(spent):.12e} W, "
          f"difference {abs(float(spent / result.source_power) - 1):.1e}")  # fmt: skip


def memory_row(n: int = 512) -> None:
    done = subprocess.run([sys.executable, "-c", PEAK.format(root=str(ROOT), n=n)], capture_output=True, text=True,
                          check=True)  # fmt: skip
    print(f"\nPeak memory of one solve at N = {n}, above import (kernels from the cache): {float(done.stdout):.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="sizes up to 256 only")
    quick = parser.parse_args().quick
    sizes = [64, 128, 256] if quick else [64, 128, 256, 512, 1024]
    limits = {"splu": 256 if quick else 512}
    if importlib.util.find_spec("badcrossbar"):
        logging.disable(logging.INFO)
        limits["badcrossbar"] = 256 if quick else 512
    else:
        print("badcrossbar is not installed: left out")
    if shutil.which("ngspice"):
        limits["ngspice"] = 64
    else:
        print("ngspice is not on PATH: left out")
    print(f"Python {platform.python_version()}, {platform.machine()}, NumPy {np.__version__}, one thread\n")
    compare([32, *sizes], [1.0, 10.0], limits)
    matrix_rows([n for n in sizes if n <= 512])
    sample_rows([n for n in sizes if n <= 256])
    loop_rows()
    error_rows()
    quickstart_row()
    energy_row()
    memory_row()


if __name__ == "__main__":
    main()
