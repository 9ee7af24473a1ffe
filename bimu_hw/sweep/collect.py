"""All finished cells of a sweep in one dataset: a dimension per axis, then the seeds."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.errors import RunError
from bimu_hw.record import write_netcdf
from bimu_hw.record.cells import CellTable
from bimu_hw.sweep.folder import SweepFolder
from bimu_hw.sweep.numbers import meaning_of
from bimu_hw.sweep.plan import Plan

if TYPE_CHECKING:
    import xarray as xr

RESULTS = "results.nc"
#: What can be said of a cell, and its code in the variable ``status``.
STATUS = {"done": 0, "missing": 1, "failed": 2, "killed": 3, "timed_out": 4}
_SEED_WORDS = {
    "seed": "seed", "seed_fabrication": "fabrication seed", "seed_noise": "noise seed", "seed_data": "data seed",
}  # fmt: skip


def status_of(plan: Plan, finished: set[str], failed: dict[str, dict[str, Any]]) -> list[str]:
    """Return what became of each cell of a plan, in its order."""
    return [
        "done" if key in finished else str(failed.get(key, {}).get("status", "missing")) for key in plan.keys
    ]


def collect(out: str | Path) -> xr.Dataset:
    """Return all finished cells of a sweep as one dataset.

    Parameters
    ----------
    out : str or Path
        Folder of the sweep, which may still be running.

    Returns
    -------
    xarray.Dataset
        As ``docs/sweeps.md`` describes; numbers of cells that are not finished are NaN.

    Raises
    ------
    RunError
        If there is no sweep.
    """
    import xarray as xr

    folder = SweepFolder(out)
    plan = folder.plan()
    table = CellTable.join(folder.tables())
    row = {key: i for i, key in enumerate(table.keys)}
    status = status_of(plan, set(row), folder.failed())
    places = np.array([row.get(key, -1) for key in plan.keys])
    there = places >= 0
    shape, dims = tuple(plan.sizes.values()), tuple(plan.sizes)

    def spread(column: Any) -> Any:
        values = np.full((len(places), *column.shape[1:]), np.nan)
        values[there] = column[places[there]]
        return values.reshape(shape + column.shape[1:])

    variables: dict[str, Any] = {
        "status": (dims, np.array([STATUS[word] for word in status], np.int8).reshape(shape), {
            "long_name": "what became of the cell", "flag_values": np.array(list(STATUS.values()), np.int8),
            "flag_meanings": " ".join(STATUS),
        })
    }  # fmt: skip
    for columns, extra in ((table.numbers, ()), (table.tasks, ("task",))):
        for name in sorted(columns):
            attrs = {"units": table.units[name], "long_name": meaning_of(name)}
            variables[name] = ((*dims, *extra), spread(columns[name]), attrs)
    keys = np.array(plan.keys, object).reshape(shape)
    coords: dict[str, Any] = {"cell_key": (dims, keys, {"long_name": "key of the cell"})}
    for one in plan.coordinates:
        coords[one.name] = (one.dim, _values(one.values), one.attrs)
    for dim, seeds in plan.seeds.items():
        coords[dim] = (dim, np.array(seeds, np.int64), {"long_name": _SEED_WORDS[dim]})
    return xr.Dataset(variables, coords, _attrs(plan, table, status))


def _values(values: list[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        return np.array(values, object)
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _attrs(plan: Plan, table: CellTable, status: list[str]) -> dict[str, Any]:
    versions: dict[str, set[str]] = {}
    for text in set(table.texts.get("versions", ())):
        for name, version in json.loads(text).items():
            versions.setdefault(f"{name}_version", set()).add(version)
    axes = [{"name": a.name, "keys": a.keys, "coordinates": a.coordinates} for a in plan.axes]
    return {
        "title": plan.title,
        "name": plan.name,
        "n_cells": len(status),
        "n_done": status.count("done"),
        "sweep": json.dumps({"axes": axes, "seeds": plan.seeds, "common_random_numbers": plan.common}),
        "scenario": json.dumps(plan.base, sort_keys=True),
        "resolved_scenario": json.dumps(plan.resolved, sort_keys=True),
        "cards": json.dumps(plan.cards),
        "source_digest": plan.identity["source_digest"],
        "cpu": ", ".join(sorted(set(table.texts.get("cpu", ())))),
        **{name: ", ".join(sorted(found)) for name, found in sorted(versions.items())},
    }


def write_collected(out: str | Path, zarr: bool = False) -> tuple[Path, xr.Dataset]:
    """Collect a sweep into its folder; return the file and what it holds.

    Raises
    ------
    RunError
        If there is no sweep, the disk is full, or Zarr is asked for and not installed.
    """
    data = collect(out)
    path = Path(out) / ("results.zarr" if zarr else RESULTS)
    if not zarr:
        encoding = {str(name): {"_FillValue": None} for name, var in data.variables.items() if var.dtype != object}
        write_netcdf(data, path, encoding)
        return path, data
    try:
        import zarr as library  # noqa: F401
    except ImportError:
        raise RunError("--zarr: Zarr is not installed; install it with pip install \"bimu-hw[zarr]\".") from None
    write_zarr(data, path)
    return path, data


def write_zarr(data: xr.Dataset, path: Path) -> None:
    """Write a dataset as a Zarr store, which replaces one that is there."""
    import shutil

    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    # Only the older format has a settled form for text, and only of fixed length.
    texts = {str(name): var.astype(str) for name, var in data.variables.items() if var.dtype == object}
    data.assign(texts).to_zarr(part, mode="w", zarr_format=2)
    if path.exists():
        shutil.rmtree(path)
    os.replace(part, path)
