"""A sweep that is disturbed on purpose, held against one that nobody disturbed: the collected datasets must be equal.

    python benchmarks/sweep_disturbed.py SCENARIO WHOLE OUT [--engine local|dask|slurm] [--workers N] [--set KEY=VALUE]

WHOLE is the folder of the undisturbed sweep, which is run first if it is not there. Then the sweep runs again in OUT:

local   its driver is killed by SIGKILL after one and two fifths of the cells, and one worker after three fifths;
dask    a scheduler and two workers, each started by its own command on loopback; a worker is killed after a third;
slurm   jobs of the SLURM that SLURM_CONF names; one of them is cancelled after a third.

Says what happened and when, and whether the two files of results have the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bimu_hw.sweep.collect import write_collected
from bimu_hw.sweep.folder import SweepFolder

BEGIN = time.monotonic()


def say(sentence: str) -> None:
    print(f"[{time.monotonic() - BEGIN:7.1f} s] {sentence}", flush=True)


def start(scenario: list[str], out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "bimu_hw", "sweep", *scenario, "--out", str(out), "--quiet", "--retries", "2"]
    return subprocess.Popen([*command, *options])


def n_saved(out: Path) -> int:
    """Return the number of cells in files, from their names: an upper bound while files are joined."""
    return sum(int(path.stem.split("-")[1]) for path in out.glob("cells/[!.]*.nc"))


def wait_for(out: Path, n: int, driver: subprocess.Popen) -> None:
    while n_saved(out) < n:
        if driver.poll() is not None:
            raise SystemExit(f"the driver ended with {driver.returncode} before {n} cells were there")
        time.sleep(0.2)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def end(driver: subprocess.Popen) -> None:
    if driver.wait() != 0:
        raise SystemExit(f"the driver ended with {driver.returncode}")


def local(scenario: list[str], out: Path, n: int, workers: int) -> None:
    for fifth in (1, 2):
        driver = start(scenario, out, "--workers", str(workers))
        wait_for(out, fifth * n // 5, driver)
        driver.kill()
        driver.wait()
        say(f"driver killed with {n_saved(out)} cells in files")
    driver = start(scenario, out, "--workers", str(workers))
    wait_for(out, 3 * n // 5, driver)
    os.kill(children(driver.pid)[0], signal.SIGKILL)
    say(f"a worker killed with {n_saved(out)} cells in files")
    end(driver)


def dask(scenario: list[str], out: Path, n: int, workers: int) -> None:
    place = out.with_name(f"{out.name}-dask")
    place.mkdir(parents=True, exist_ok=True)
    file = place / "scheduler.json"
    file.unlink(missing_ok=True)
    more = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1",
              "--no-nanny", "--local-directory", str(place)]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*scheduler, *more], **quiet)]
    try:
        processes += [subprocess.Popen([*worker, *more], **quiet) for _ in range(workers)]
        while not file.exists():
            time.sleep(0.2)
        driver = start(scenario, out, "--engine", "dask", "--scheduler", str(file))
        wait_for(out, n // 3, driver)
        processes[1].kill()
        say(f"a Dask worker killed with {n_saved(out)} cells in files")
        end(driver)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def slurm(scenario: list[str], out: Path, n: int, workers: int) -> None:
    options = ["interface=lo", "queue=debug", "memory=1GB", "walltime=01:00:00"]
    options = [word for option in options for word in ("--cluster", option)]
    driver = start(scenario, out, "--engine", "slurm", "--workers", str(workers), *options)
    wait_for(out, n // 3, driver)
    jobs = subprocess.check_output(["squeue", "-h", "-o", "%A"], text=True).split()
    subprocess.check_call(["scancel", jobs[0]])
    say(f"job {jobs[0]} of {', '.join(jobs)} cancelled with {n_saved(out)} cells in files")
    end(driver)
    left = subprocess.check_output(["squeue", "-h", "-o", "%A %T"], text=True).split("\n")
    say(f"jobs after the end: {[job for job in left if job]}")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("scenario")
    options.add_argument("whole", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--engine", choices=["local", "dask", "slurm"], default="local")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--set", action="append", default=[])
    given = options.parse_args()
    scenario = [given.scenario, *(word for override in given.set for word in ("--set", override))]
    if not given.whole.exists():
        end(start(scenario, given.whole, "--workers", "1"))
        say("the sweep that nobody disturbs has ended")
    n = len(set(SweepFolder(given.whole).plan().keys))
    {"local": local, "dask": dask, "slurm": slurm}[given.engine](scenario, given.out, n, given.workers)
    digests = []
    for out in (given.whole, given.out):
        path, data = write_collected(out)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        say(f"{path}: {data.attrs['n_done']} of {data.attrs['n_cells']} cells, sha256 {digests[-1][:16]}")
    failed = SweepFolder(given.out).failed()
    for one in failed.values():
        say(f"recorded: {one['status']}, {one['attempts'][-1]['message']}")
    say("equal" if digests[0] == digests[1] else "DIFFERENT")
    sys.exit(digests[0] != digests[1])


if __name__ == "__main__":
    main()
