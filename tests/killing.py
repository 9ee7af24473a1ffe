"""Run a scenario in processes that are killed, again and again, until it is done; a program of its own.

    python killing.py OUT SEED N_RANDOM POINTS [OVERRIDE ...]

``OUT/whole`` is the run that nobody disturbed, ``OUT/killed`` the other one. If POINTS is ``every``, it dies at each of
`ON_THE_WAY`, then ``N_RANDOM`` times at random moments, then at each of `AT_THE_END`; if it is ``random``, at random
moments alone. Prints, as JSON, how each process ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

import bimu_hw.checkpoint
import bimu_hw.record.disk
import bimu_hw.report.figures
import bimu_hw.run
from bimu_hw.cli import run_commands
from bimu_hw.run_folder import RunFolder

SCENARIO = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"

#: Where a process dies: a function, at which of its calls, and whether before the call or after it.
ON_THE_WAY = {
    "before the scenario is stored": (os, "replace", 1, "before"),
    "before the first checkpoint has its name": (os, "replace", 2, "before"),
    "after a checkpoint has its name": (os, "replace", 3, "after"),
    "before a checkpoint is on the disk": (os, "fsync", 40, "before"),
    "while snapshots are written": (bimu_hw.record.disk, "_write_all", 20, "before"),
}
AT_THE_END = {
    "while run.nc is written": (bimu_hw.record.disk._DiskFile, "write", 40, "before"),
    "before figures are drawn": (bimu_hw.report.figures, "draw_run", 1, "before"),
    "while figures are drawn": (bimu_hw.report.figures, "plot_energy", 1, "after"),
    "before the first file has its place": (RunFolder, "publish", 1, "before"),
    "before the hidden folder goes": (RunFolder, "_empty", 1, "before"),
    "while the hidden folder goes": (shutil, "rmtree", 1, "before"),
    "when all is gone but an empty folder": (os, "rmdir", 1, "before"),
}


# Many checkpoints in a short run. What a process has written outlives it also where it has not reached the disk.
bimu_hw.checkpoint._SHARE = 0.5
os.fsync = lambda number: None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arm(owner, name, n, when):
    """Let this process die at the n-th call of a function."""
    real, calls = getattr(owner, name), [0]

    def deadly(*arguments, **options):
        calls[0] += 1
        if calls[0] == n and when == "before":
            die()
        result = real(*arguments, **options)
        if calls[0] == n:
            die()
        return result

    setattr(owner, name, deadly)


def child(command, point=None):
    """Start a process that does a command; return its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            if point is not None:
                arm(*point)
            code = run_commands(command)
        finally:
            os._exit(code)
    return number


def wait(number):
    _, status = os.waitpid(number, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main(out, seed, n_random, points, *overrides):
    rng = np.random.default_rng(int(seed))
    given = [word for override in overrides for word in ("--set", override)]
    assert run_commands(["run", str(SCENARIO), "--out", f"{out}/whole", "--quiet", *given]) == 0
    # Kernels are compiled and libraries loaded: a child takes no longer than this.
    begin = ["run", str(SCENARIO), "--out", f"{out}/killed", "--quiet", *given]
    resume = ["resume", f"{out}/killed", "--quiet"]
    start = time.monotonic()
    shutil.copytree(f"{out}/whole", f"{out}/again")
    assert wait(child([*begin[:3], f"{out}/again", "--overwrite", *begin[4:]])) == 0
    usual = time.monotonic() - start
    ends = []

    def die_at(points):
        for name, point in points.items():
            started = os.path.exists(f"{out}/killed/.run/given.json") or any(end[2] for end in ends)
            number = child(resume if started else begin, point)
            ends.append([name, wait(number), os.path.exists(f"{out}/killed/run.nc")])

    if points == "every":
        die_at(ON_THE_WAY)
    for _ in range(int(n_random)):
        number = child(resume if os.path.exists(f"{out}/killed/.run/given.json") else begin)
        time.sleep(float(rng.uniform(0.0, 0.5 * usual / int(n_random))))
        os.kill(number, signal.SIGKILL)
        ends.append(["at random", wait(number), bool(os.path.exists(f"{out}/killed/run.nc"))])
    if points == "every":
        die_at(AT_THE_END)
    ends.append(["nobody kills it", wait(child(resume)), os.path.exists(f"{out}/killed/run.nc")])
    print(json.dumps({"usual": usual, "ends": ends}))


if __name__ == "__main__":
    main(*sys.argv[1:])
