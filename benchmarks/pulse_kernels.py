"""Throughput of the pulse kernels: every storage element with every card, on one core.

    python benchmarks/pulse_kernels.py [--cells 80000] [--repeats 200]

A cell-pulse is one pulse on one cell, both devices of a pair together; at "every cell" each cell of the array gets one
pulse up or down, at "one in ten" every tenth. Nonidealities are those of the card, noise from cycle to cycle included.
Best of many short bursts, so that a busy machine does not count; the compilation is left out. Bytes are those of the
model's state arrays per cell.
"""

from __future__ import annotations

import argparse
import platform
import time
from typing import Any

import numpy as np
from llvmlite import binding

from bimu_hw.cards import Card, shipped_cards
from bimu_hw.crossbar.encoding import level_grid
from bimu_hw.devices import StorageModel, get_model, new_state


def rate(model: StorageModel, card: Card, n_cells: int, every: int, repeats: int) -> tuple[float, int]:
    """Return million cell-pulses per second and bytes of state per cell."""
    grid = level_grid(int(card.params["n_levels"].value), 4.0)
    params: Any = model.params(*(card.params[s.name].value for s in model.specs))
    state = new_state(model, n_cells)
    model.fabricate(state, params, grid, np.uint64(1))
    target = np.full(n_cells, grid.level_max % 1.0 if np.isfinite(grid.level_max) else 0.0, np.float32)
    cells = np.arange(0, n_cells, every, dtype=np.int32)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], cells.size).astype(np.float32)
    best = np.inf
    for event in range(repeats):
        if event % 20 == 0:
            model.program(state, target, params, grid, 0.0)
        start = time.perf_counter()
        model.pulse(state, cells, signs, params, grid, np.uint64(event), 0.0)
        best = min(best, time.perf_counter() - start)
    return cells.size / best / 1e6, sum(array.nbytes for array in state) // n_cells


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=80_000)
    parser.add_argument("--repeats", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{binding.get_host_cpu_name()}, Python {platform.python_version()}, one thread, {arguments.cells} cells")
    print(f"{'card':24s} {'model':18s} every cell  one in ten  (million cell-pulses/s)  bytes/cell")
    for name, card in sorted(shipped_cards().items()):
        model = get_model(card.model)
        if not isinstance(model, StorageModel):
            continue
        dense, size = rate(model, card, arguments.cells, 1, arguments.repeats)
        sparse, _ = rate(model, card, arguments.cells, 10, arguments.repeats)
        print(f"{name:24s} {card.model:18s} {dense:10.1f}  {sparse:10.1f} {'':25s} {size:10d}")


if __name__ == "__main__":
    main()
