"""How long `import bimu_hw` and ``bimu-hw --help`` take, beside a bare interpreter.

Each is a process of its own, all of them in turn, so that a busy machine is busy for all. CPU is user and system time
of the process; a first round, which also writes bytecode and warms the disk's cache, does not count. What they may
import is held by tests/test_cli.py; times are measured here.

    python benchmarks/startup.py --rounds 20
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

CASES = {
    "python -c pass": ["-c", "pass"],
    "import bimu_hw": ["-c", "import bimu_hw"],
    "bimu-hw --help": ["-m", "bimu_hw", "--help"],
    "bimu-hw run --help": ["-m", "bimu_hw", "run", "--help"],
}


def measure(arguments: list[str]) -> tuple[float, float]:
    """Return wall and CPU time of one process in seconds."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for turn in range(rounds + 1):
        for name, arguments in CASES.items():
            times = measure(arguments)
            if turn:
                found[name].append(times)
    bare = statistics.median(cpu for _, cpu in found["python -c pass"])
    print(f"{rounds} rounds\n{'':20}  wall best  median   CPU best  median   CPU / bare (medians)")
    for name, times in found.items():
        wall, cpu = zip(*times, strict=True)
        middle = statistics.median(cpu)
        print(
            f"{name:20}  {min(wall):7.3f} s {statistics.median(wall):5.3f} s  {min(cpu):7.3f} s {middle:5.3f} s "
            f"{middle / bare:10.1f}"
        )


if __name__ == "__main__":
    main()
