"""Measured conductance maps as the state of an array: reading, checking, and the way to levels.

Two kinds of file: a ``.npz`` with one array ``conductance`` and its unit in ``unit``, or a CSV of one layer of single
devices whose first line is ``# unit: uS`` and whose rows are word lines. Shapes are [wordline, bitline], or
[wordline, bitline, device] for a model with several devices per cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.devices import Grid, StorageModel, new_state
from bimu_hw.errors import DataError
from bimu_hw.learning.npz import read_npz
from bimu_hw.units import parse_quantity

Array = npt.NDArray[np.float64]

#: How far beyond the model's range a conductance may lie, in units of that range: measurements scatter around its ends.
TOLERANCE = 0.25


def read_map(path: Path) -> Array:
    """Read a conductance map in siemens, float64[wordline, bitline] or [wordline, bitline, device].

    Raises
    ------
    DataError
        If the file is neither of the two kinds, not numeric, of the wrong shape, not finite or negative.
    UnitError
        If its unit is not one of conductance.
    """
    if path.suffix == ".npz":
        values, unit = _read_npz(path)
    elif path.suffix == ".csv":
        values, unit = _read_csv(path)
    else:
        raise DataError(f"{path.name}: is neither .csv nor .npz; save the conductance map as one of them.")
    scale = parse_quantity(f"1 {unit}", "S", f"{path.name}, unit")
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(
            f"{path.name}: has the shape {values.shape}; expected [wordline, bitline] or [wordline, bitline, device]."
        )
    bad = np.argwhere(~np.isfinite(values) | (values < 0.0))
    if bad.size:
        raise DataError(
            f"{path.name}: the conductance at {tuple(bad[0].tolist())} is {values[tuple(bad[0])]}; "
            "all must be finite and not negative."
        )
    return values * scale


def _read_npz(path: Path) -> tuple[Array, str]:
    arrays = read_npz(path)
    if not {"conductance", "unit"} <= set(arrays):
        raise DataError(f"{path.name}: holds {sorted(arrays)}; expected the arrays 'conductance' and 'unit'.")
    values, unit = arrays["conductance"], arrays["unit"]
    if not np.issubdtype(values.dtype, np.floating) and not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{path.name}: 'conductance' has the type {values.dtype}; expected numbers.")
    if unit.shape != () or unit.dtype.kind != "U":
        raise DataError(f"{path.name}: 'unit' must be one text, for example 'uS'.")
    return values.astype(np.float64), str(unit)


def _read_csv(path: Path) -> tuple[Array, str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; give the path of a CSV file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: is not UTF-8 text; save the table as CSV in UTF-8.") from error
    head, _, unit = lines[0].partition(":") if lines else ("", "", "")
    if head.replace(" ", "") != "#unit" or not unit.strip():
        raise DataError(f"{path.name}, line 1: expected the unit, '# unit: uS'.")
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            row = [float(cell) for cell in line.split(",")]
        except ValueError as error:
            raise DataError(f"{path.name}, line {number}: {error}; write numbers separated by commas.") from error
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{path.name}, line {number}: has {len(row)} numbers; the first row has {len(rows[0])}.")
        rows.append(row)
    return np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else 0), unit.strip()


def levels_of_map(
    conductance: npt.NDArray[Any], model: StorageModel, params: Any, grid: Grid, shape: tuple[int, int], where: str
) -> npt.NDArray[np.float32]:
    """Return the levels that stand for measured conductances, float32[cell, device].

    The map of the model from level to conductance is asked for at its two ends and taken as linear between them, as it
    is in every model here; a pair's second device falls where the first rises. Conductances up to a quarter of the
    range beyond it are cut to its ends.

    Parameters
    ----------
    conductance : float64[wordline, bitline] or [wordline, bitline, device]
        Siemens.
    model : StorageModel
    params : NamedTuple
        The model's parameters.
    grid : Grid
        With a finite last level.
    shape : tuple of int
        (wordline, bitline) of the layer.
    where : str
        The map's file, for messages.

    Raises
    ------
    DataError
        If the shape is not that of the layer, or a conductance lies beyond the model's range.
    """
    values = np.asarray(conductance, np.float64)
    wanted = shape if model.n_devices == 1 else (*shape, model.n_devices)
    if model.n_devices == 1 and values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.shape != wanted:
        raise DataError(f"{where}: has the shape {values.shape}; {model.name} in a layer of {shape} needs {wanted}.")
    if not np.isfinite(grid.level_max):
        raise DataError(f"{where}: {model.name} is continuous here; a conductance map needs a grid of levels.")
    top = grid.level_max
    ends = np.empty((2, model.n_devices))
    for k, level in enumerate((-top, top)):
        state = new_state(model, 1)
        # Not fabricated: the nominal device, without faults.
        model.program(state, np.full(1, level, np.float32), params, grid, 0.0)
        out = np.zeros((1, model.n_devices), np.float32)
        model.conductance(state, params, grid, 0.0, out)
        ends[k] = out[0]
    values = values.reshape(-1, model.n_devices)
    rise = ends[1] - ends[0]
    if not rise.all():
        raise DataError(f"{where}: {model.name} has one conductance for all levels; nothing can be read off a map.")
    share = (values - ends[0]) / rise
    bad = np.argwhere((share < -TOLERANCE) | (share > 1.0 + TOLERANCE))
    if bad.size:
        cell, device = bad[0].tolist()
        at = np.unravel_index(cell, shape)
        low, high = sorted(ends[:, device].tolist())
        raise DataError(
            f"{where}: the conductance at word line {at[0]}, bit line {at[1]} is {values[cell, device]:.4g} S; "
            f"{model.name} reaches from {low:.4g} S to {high:.4g} S with these parameters."
        )
    return np.asarray(np.clip(share, 0.0, 1.0) * 2.0 * top - top, np.float32)


def program_map(state: Any, levels: npt.NDArray[np.float32], model: StorageModel, params: Any, grid: Grid) -> None:
    """Put an array into the state of a conductance map; devices that are stuck stay where they are.

    The cell's level is the mean over its devices, each counted in the direction it moves with lam: of a pair half the
    difference, as when it is read. *Mutates* `state`.

    Parameters
    ----------
    state : NamedTuple
        Of a fabricated array of `model`.
    levels : float32[cell, device]
        From `levels_of_map`.
    """
    model.program(state, cell_levels(levels), params, grid, 0.0)


def cell_levels(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the level of each cell, float32[cell], from those of its devices, float32[cell, device]."""
    return np.ascontiguousarray(levels.astype(np.float64).mean(axis=1), np.float32)
