"""Measure how long a large record takes to open and to plot its freezing summary, and how much memory that needs.

    python benchmarks/analysis_large.py RUN --gib 1

RUN is the folder of any finished run; its record is copied with one layer of noise in place of its own, as large as
asked. The measurement is a process of its own: its peak memory counts, imports included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

#: Variables of a layer, and bytes of a value; conductance and counts are those of single devices.
VARIABLES = {
    "level": "f4", "lam": "f4", "mean_weight": "f4", "plasticity": "f4", "conductance": "f4", "pulse_count": "i4",
    "requested": "f8", "fault": "i1",
}  # fmt: skip
SHAPE = (784, 512)


def make(template: Path, out: Path, gib: float) -> None:
    """Write a record of this size: that of `template`, with one layer of noise, snapshot by snapshot."""
    with xr.open_datatree(template / "run.nc", engine="h5netcdf", decode_times=False) as tree:
        small = xr.DataTree.from_dict(
            {name: tree[name].to_dataset() for name in tree.children if not name.startswith("layer_")}
        )
        small.attrs = {**tree.attrs, "n_layers": 1}
        attrs = {name: dict(tree["layer_0"].to_dataset()[name].attrs) for name in VARIABLES}
        small.to_netcdf(out, engine="h5netcdf")
    snapshot_bytes = SHAPE[0] * SHAPE[1] * sum(np.dtype(kind).itemsize for kind in VARIABLES.values())
    n = max(2, round(gib * 2**30 / snapshot_bytes))
    rng = np.random.default_rng(1)
    with h5netcdf.File(out, "a") as file:
        group = file.create_group("layer_0")
        group.dimensions = {"snapshot": n, "wordline": SHAPE[0], "bitline": SHAPE[1]}
        for name, values in (("example", np.arange(n) * 100), ("tick", np.arange(n)), ("task", np.zeros(n))):
            group.create_variable(name, ("snapshot",), data=values.astype("i8"))
        for name, kind in VARIABLES.items():
            variable = group.create_variable(
                name, ("snapshot", "wordline", "bitline"), kind, chunks=(1, *SHAPE), compression="gzip",
                compression_opts=1, shuffle=True,
            )  # fmt: skip
            variable.attrs.update({k: v for k, v in attrs[name].items() if k in ("units", "long_name")})
            for i in range(n):
                variable[i] = rng.normal(0.0, 1.0 + i / n, SHAPE).astype(kind)


def measure(path: Path) -> None:
    """Open, plot, print."""
    import bimu_hw
    import bimu_hw.analysis as analysis

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    start = now()
    with bimu_hw.open_run(path) as run:
        opened = now()
        with analysis.paper_style():
            figure = analysis.new_figure()
            run.bimu.plot_freezing(axes=figure.add_subplot())
        analysis.save_figure(figure, path.with_suffix(".png"))
        drawn = now()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    words = [f"{wall:.2f} s (processor {busy:.2f} s)" for wall, busy in (opened - start, drawn - opened)]
    print(f"{path.stat().st_size / 2**30:.2f} GiB: opened in {words[0]}, freezing summary drawn in {words[1]}; peak "
          f"memory {peak:.0f} MiB, imports included")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of any finished run")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the layer's data before compression")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "run.nc"
        make(given.run, large, given.gib)
        subprocess.run([sys.executable, __file__, str(large), "--measure"], check=True)


if __name__ == "__main__":
    main()
