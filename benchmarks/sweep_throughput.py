"""What a sweep costs beside its cells, and what a second worker brings: ratios within one run of this program.

    python benchmarks/sweep_throughput.py [--examples N] [--cells N]

Three sweeps of the same cells, which take some seconds each: one worker, two workers, one worker again; then short
cells in batches. Times of a machine that others use are no measure: the processor time that the processes got stands
beside them.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

from bimu_hw.sweep.drive import run_sweep
from bimu_hw.sweep.local import run_local
from bimu_hw.sweep.plan import Plan, make_plan

SCENARIO = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"


def measure(plan: Plan, n_workers: int) -> tuple[float, float, float]:
    """Run a sweep; return seconds on the wall, seconds inside cells, and processor seconds of all processes."""
    inside = []

    def engine(work, timeout):
        settle = work.settle
        work.settle = lambda outcome: (inside.append(outcome.seconds), settle(outcome))[1]
        run_local(work, n_workers, timeout)

    with tempfile.TemporaryDirectory() as folder:
        before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        begin = time.monotonic()
        result = run_sweep(plan, Path(folder) / "sweep", engine, n_workers, progress=False)
        wall = time.monotonic() - begin
        after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        assert result.n_done == len(plan.keys), "some cells failed"
    cpu = sum(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime for a, b in zip(after, before, strict=True))
    return wall, sum(inside), cpu


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--examples", type=int, default=9000)
    options.add_argument("--cells", type=int, default=8)
    options.add_argument("--short", type=int, default=100)
    given = options.parse_args()
    print(f"load before: {os.getloadavg()}")
    plan = make_plan(SCENARIO, [f"stream.examples={given.examples}"], [f"0:{given.cells}"])
    measure(make_plan(SCENARIO, [f"stream.examples={given.examples}"], ["1000:1002"]), 1)  # compiles, fills caches
    rows = []
    for n_workers in (1, 2, 1):
        wall, inside, cpu = measure(plan, n_workers)
        rows.append((n_workers, wall, inside, cpu))
        print(
            f"{n_workers} workers: {given.cells} cells of {inside / given.cells:.2f} s in {wall:.1f} s; "
            f"{cpu:.1f} s of processor time"
        )
    one = (rows[0][1] + rows[2][1]) / 2
    print(f"throughput of two workers over one: {one / rows[1][1]:.2f}")
    print(f"cells at a time with two workers (time inside cells / time on the wall): {rows[1][2] / rows[1][1]:.2f}")
    short = ["stream.examples=20", "stream.tasks=2", "network.hidden=[4]", "evaluation.examples=2"]
    wall, inside, cpu = measure(make_plan(SCENARIO, short, [f"0:{given.short}"]), 1)
    few = measure(make_plan(SCENARIO, short, ["0:2"]), 1)
    n = given.short - 2
    extra = (wall - few[0]) - (inside - few[1])
    print(f"short cells: {1e3 * extra / n:.1f} ms each beside the {1e3 * inside / given.short:.0f} ms inside")
    print(f"start to end of a sweep of two short cells: {few[0]:.1f} s, {few[2]:.1f} s of processor time")
    print(f"load after: {os.getloadavg()}")


if __name__ == "__main__":
    main()
