"""Ten thousand cells: what status, collect and starting again take, in time and memory.

    python benchmarks/sweep_scale.py [--cells N] [--per-file N]

The cells are not run: files of the real format are written, and joined as a driver joins them, with numbers that nobody
computed. Each command runs in a process of its own, whose processor time and largest memory are printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bimu_hw.record.cells import CellTable
from bimu_hw.sweep.cell import run_cell
from bimu_hw.sweep.folder import SweepFolder
from bimu_hw.sweep.plan import cell_scenario, make_plan

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SWEEP = """
[sweep]
seeds = "0:8"
[[sweep.axis]]
key = "device.storage_params.n_levels"
values = [4, 16]
[[sweep.axis]]
key = "accelerator.rate"
range = ["1 kHz", "10 kHz"]
number = {rates}
"""


def fill(folder: SweepFolder, plan, like: CellTable, per_file: int) -> None:
    rng = np.random.default_rng(1)
    for start in range(0, len(plan.keys), per_file):
        keys = list(plan.keys[start : start + per_file])
        table = CellTable(
            keys, {name: rng.random(len(keys)) for name in like.numbers},
            {name: rng.random((len(keys), block.shape[1])) for name, block in like.tasks.items()},
            {name: words * len(keys) for name, words in like.texts.items()}, like.units,
        )  # fmt: skip
        folder.save(table)
        if (start + per_file) % 100 == 0:  # as a driver does
            folder.pack()


def command(*words: str) -> None:
    begin = time.monotonic()
    number = os.posix_spawn(sys.executable, [sys.executable, "-m", "bimu_hw", *words], os.environ)
    _, code, used = os.wait4(number, 0)
    cpu = used.ru_utime + used.ru_stime
    print(
        f"  {words[0]}: {time.monotonic() - begin:.1f} s on the wall, {cpu:.1f} s of processor time, "
        f"{used.ru_maxrss / 2**20:.2f} GiB, exit code {os.waitstatus_to_exitcode(code)}", flush=True,
    )  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--cells", type=int, default=10_000)
    options.add_argument("--per-file", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        scenario = Path(place) / "scale.toml"
        text = QUICKSTART.read_text(encoding="utf-8").replace("tasks = 3", "tasks = 3\nexamples = 30")
        rates = given.cells // 16
        scenario.write_text(text.partition("[[expect]]")[0] + SWEEP.format(rates=rates), encoding="utf-8")
        plan = make_plan(scenario)
        like = run_cell(cell_scenario(plan.content(0), plan.folder, plan.name, plan.keys[0]), plan.keys[0])
        folder = SweepFolder(Path(place) / "out")
        with folder.held():
            folder.store(plan)
            fill(folder, plan, like, given.per_file)
        n_files = len(list(folder.cells.iterdir()))
        print(f"{len(plan.keys):,} cells in {n_files:,} files; load {os.getloadavg()}", flush=True)
        command("status", str(folder.out))
        command("collect", str(folder.out))
        command("sweep", str(scenario), "--out", str(folder.out), "--quiet", "--workers", "1")
        print(f"files after that: {len(list(folder.cells.iterdir())):,}")


if __name__ == "__main__":
    main()
