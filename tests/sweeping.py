"""A sweep of cells that take a fraction of a second, for tests; and a program that drives it.

    python sweeping.py OUT [OPTION ...]

runs `bimu-hw sweep` on it. The environment variable ``BIMU_TEST_CELL`` names what a cell does besides: see `bad_cell`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SWEEP = """
[sweep]
seeds = "0:2"

[[sweep.axis]]
key = "device.storage_params.n_levels"
values = [4, 16]

[[sweep.axis]]
keys = ["labels.policy", "labels.budget", "labels.gamma"]
values = [["always", "", ""], ["budgeted", 0.5, 0.5]]

[[sweep.axis]]
key = "accelerator.rate"
range = ["1 kHz", "100 kHz"]
number = 2
scale = "log"
"""
#: Lengths of the axes of `SWEEP`, and of its seeds.
SHAPE = (2, 2, 2, 2)


def tiny_scenario(sweep: str = SWEEP) -> str:
    """Return the quickstart with few examples and neurons, and a table [sweep]."""
    text = (ROOT / "scenarios" / "quickstart.toml").read_text(encoding="utf-8")
    for old, new in (
        ("tasks = 3", "tasks = 2\nexamples = 40"),
        ("hidden = [128]", "hidden = [6]"),
        ('networks = "shared"', 'networks = "shared"\nexamples = 8'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text.partition("[[expect]]")[0] + sweep


def write_tiny(folder: Path, sweep: str = SWEEP) -> Path:
    """Write the scenario into a folder and return its path."""
    path = folder / "tiny.toml"
    path.write_text(tiny_scenario(sweep), encoding="utf-8")
    return path


def start(scenario: Path, out: Path, *options: str, **more) -> subprocess.Popen:
    """Start `bimu-hw sweep` as a process of its own."""
    command = [sys.executable, "-m", "bimu_hw", "sweep", str(scenario), "--out", str(out), "--quiet", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
