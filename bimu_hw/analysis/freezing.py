"""When and where synapses freeze, from the maps of a run: shares over snapshots, levels occupied.

Maps are read from disk in blocks of a few megabytes, so that a record larger than the memory is no matter. The
definitions of single numbers are those of `bimu_hw.learning.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.devices import FAULTS
from bimu_hw.errors import ScenarioError, SchemaError, did_you_mean
from bimu_hw.learning.metrics import plasticity, posterior_entropy

Values = npt.NDArray[Any]

#: Values of one variable that are in memory at once.
_BLOCK = 1 << 23
_STUCK = [code for name, code in FAULTS.items() if name.startswith("stuck")]


class LevelGrid(NamedTuple):
    """The levels of a store: how many, and |lam| of the outermost; 0 levels for a continuous one."""

    n_levels: int
    lam_max: float

    @property
    def step(self) -> float:
        """One level in units of lam; infinite for a continuous element."""
        return 2.0 * self.lam_max / (self.n_levels - 1) if self.n_levels else np.inf


def level_occupancy(level: npt.ArrayLike, n_levels: int) -> npt.NDArray[np.float64]:
    """Return the share of cells at each level.

    Parameters
    ----------
    level : array_like
        Levels counted from 0, any shape; fractions count for the nearest level, what lies beyond for the outermost.
    n_levels : int
        At least 2.

    Returns
    -------
    float64[level]

    Raises
    ------
    ScenarioError
        If there is no cell or `n_levels` is below 2.
    """
    values = np.asarray(level)
    if n_levels < 2 or values.size == 0:
        raise ScenarioError(
            f"level_occupancy: got {values.size} cells and {n_levels} levels; expected at least one cell and 2 levels."
        )
    nearest = np.clip(np.rint(values), 0, n_levels - 1).astype(np.int64).ravel()
    return np.bincount(nearest, minlength=n_levels) / nearest.size


class _Look(NamedTuple):
    """A block of cells at one snapshot and at the one before, each array [cell]; `before` is empty at the first."""

    now: Mapping[str, Values]
    before: Mapping[str, Values]
    grid: LevelGrid
    threshold: float

    @property
    def asked(self) -> Values:
        """Sum of the changes of lam asked for since the snapshot before."""
        return self.now["requested"] - self.before["requested"]


def _in_dead_zone(look: _Look) -> Values:
    no_pulse = look.now["pulse_count"] == look.before["pulse_count"]
    return (np.abs(look.asked) >= look.grid.step) & no_pulse


def _at_rail(look: _Look) -> Values:
    level, last = look.now["lam"] / look.grid.step, 0.5 * (look.grid.n_levels - 1)
    outwards = np.sign(level) * np.sign(look.asked) > 0
    return (np.abs(level) >= last - 0.5) & outwards & (look.grid.n_levels > 0)


def _has_fault(*codes: int) -> Callable[[_Look], Values]:
    return lambda look: (look.now["fault"] & sum(1 << code for code in codes)) != 0


class _Quantity(NamedTuple):
    """What can be averaged over the cells of a layer: the variables it needs, and its value for each cell."""

    needs: tuple[str, ...]
    units: str
    long_name: str
    of_cells: Callable[[_Look], Values]
    compares: bool = False


_QUANTITIES: dict[str, _Quantity] = {
    "plasticity": _Quantity(("lam",), "1", "mean variance of the binary weight, sech(lam)**2",
                            lambda look: plasticity(look.now["lam"])),
    "entropy": _Quantity(("lam",), "bit", "mean entropy of the binary weight",
                         lambda look: posterior_entropy(look.now["lam"])),
    "saturated_fraction": _Quantity(("lam",), "1", "synapses with |lam| above the threshold",
                                    lambda look: np.abs(look.now["lam"]) > look.threshold),
    "sign_flip_rate": _Quantity(("lam",), "1", "synapses whose mean weight changed sign since the snapshot before",
                                lambda look: np.sign(look.before["lam"]) * np.sign(look.now["lam"]) < 0, True),
    "dead_zone_fraction": _Quantity(
        ("requested", "pulse_count"), "1",
        "synapses of which at least one level was asked since the snapshot before and to which no pulse was sent",
        _in_dead_zone, True),
    "rail_fraction": _Quantity(
        ("lam", "requested"), "1",
        "synapses at their first or last level of which a step further out was asked since the snapshot before",
        _at_rail, True),
    "worn_out_fraction": _Quantity(("fault",), "1", "synapses with a worn-out device", _has_fault(FAULTS["worn_out"])),
    "stuck_fraction": _Quantity(("fault",), "1", "synapses with a stuck device", _has_fault(*_STUCK)),
    "pulses_per_cell": _Quantity(("pulse_count",), "1",
                                 "programming pulses received since fabrication, mean over cells",
                                 lambda look: look.now["pulse_count"]),
}  # fmt: skip
#: The cheap ones, for which only lam is read.
FROM_LAM = ("plasticity", "entropy", "saturated_fraction", "sign_flip_rate")


def compares(name: str) -> bool:
    """Return whether a quantity compares with the snapshot before, and so has no value at the first."""
    return _QUANTITIES[name].compares


def freezing_over_snapshots(
    layer: xr.Dataset, names: Sequence[str] = FROM_LAM, grid: LevelGrid | None = None, threshold: float = 2.5
) -> xr.Dataset:
    """Return how frozen a layer is at every snapshot.

    Parameters
    ----------
    layer : xarray.Dataset
        A group ``/layer_k`` of a record, or anything with ``lam`` [snapshot, wordline, bitline] and what else `names`
        need; read block by block.
    names : sequence of str
        Of plasticity, entropy, saturated_fraction, sign_flip_rate, dead_zone_fraction, rail_fraction,
        worn_out_fraction, stuck_fraction, pulses_per_cell.
    grid : LevelGrid, optional
        Levels of the store; needed by dead_zone_fraction and rail_fraction, which are 0 on a continuous one.
    threshold : float
        |lam| above which a synapse counts as saturated.

    Returns
    -------
    xarray.Dataset
        Dimension ``snapshot``; what compares with the snapshot before is NaN at the first.

    Raises
    ------
    ScenarioError
        If a name is not known, or the grid is missing.
    SchemaError
        If the layer lacks a variable or holds no snapshot.
    """
    for name in names:
        if name not in _QUANTITIES:
            raise ScenarioError(f"freezing, {name!r}: not known. {did_you_mean(name, _QUANTITIES)}")
        if grid is None and name in ("dead_zone_fraction", "rail_fraction"):
            raise ScenarioError(f"freezing, {name}: needs the store's levels; give grid=LevelGrid(n_levels, lam_max).")
    chosen = {name: _QUANTITIES[name] for name in names}
    needed = tuple(dict.fromkeys(variable for quantity in chosen.values() for variable in quantity.needs))
    n_snapshot, n_cell = _sizes(layer, needed)
    sums = {name: np.full(n_snapshot, 0.0) for name in chosen}
    for number, now, before in _blocks(layer, needed):
        look = _Look(now, before, grid or LevelGrid(0, np.inf), threshold)
        for name, quantity in chosen.items():
            first = quantity.compares and not before
            sums[name][number] += np.nan if first else quantity.of_cells(look).sum(dtype=np.float64)
    found = {name: labelled(("snapshot",), sums[name] / n_cell, q.units, q.long_name) for name, q in chosen.items()}
    return xr.Dataset(found, coords=_of_snapshots(layer))


def occupancy_over_snapshots(layer: xr.Dataset, n_levels: int) -> xr.DataArray:
    """Return the share of cells at each level at every snapshot, [snapshot, level].

    Parameters
    ----------
    layer : xarray.Dataset
        With ``level`` [snapshot, wordline, bitline], counted from 0; read block by block.
    n_levels : int

    Raises
    ------
    ScenarioError
        If the store is continuous (`n_levels` below 2).
    SchemaError
        If the layer lacks its levels or holds no snapshot.
    """
    n_snapshot, n_cell = _sizes(layer, ("level",))
    share = np.zeros((n_snapshot, max(n_levels, 1)))
    for number, now, _ in _blocks(layer, ("level",)):
        share[number] += level_occupancy(now["level"], n_levels) * now["level"].size
    level = labelled(("level",), np.arange(n_levels), "1", "level of the storage element, counted from 0")
    return xr.DataArray(
        share / n_cell, dims=("snapshot", "level"), coords={**_of_snapshots(layer), "level": level}, name="occupancy",
        attrs={"units": "1", "long_name": "share of cells at the level"},
    )  # fmt: skip


def _of_snapshots(layer: xr.Dataset) -> dict[Any, xr.Variable]:
    return {name: coord.variable for name, coord in layer.coords.items() if coord.dims == ("snapshot",)}


def _sizes(layer: xr.Dataset, needed: Sequence[str]) -> tuple[int, int]:
    """Return the number of snapshots and of cells."""
    for name in needed:
        if name not in layer.variables:
            raise SchemaError(f"freezing: the layer has no {name!r}; record states, or leave out what needs it.")
    sizes = layer[needed[0]].sizes
    n_cell = int(np.prod([sizes[d] for d in sizes if d not in ("snapshot", "device")]))
    if not {"snapshot", "wordline", "bitline"} <= set(sizes) or not sizes["snapshot"] or not n_cell:
        raise SchemaError(f"freezing, {needed[0]}: has {dict(sizes)}; expected snapshots of at least one cell.")
    return sizes["snapshot"], n_cell


def _blocks(
    layer: xr.Dataset, needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, Values], dict[str, Values]]]:
    """Yield the number of a snapshot, and the arrays of some word lines at it and at the one before (none at first).

    Snapshots are read as many at a time as lie together on disk, so that nothing is decompressed twice.
    """
    sizes = layer[needed[0]].sizes
    n_snapshot, n_wordline = sizes["snapshot"], sizes["wordline"]
    chunk = layer[needed[0]].encoding.get("chunksizes") or (1,)
    together = max(1, min(int(chunk[0]), n_snapshot))
    row = together * int(np.prod([sizes[d] for d in sizes if d not in ("snapshot", "wordline")]))
    # On disk a snapshot lies in one piece: a part of one is read only where the whole is too much.
    rows = n_wordline if row * n_wordline <= _BLOCK else max(1, _BLOCK // row)
    for start in range(0, n_wordline, rows):
        before: dict[str, Values] = {}
        for first in range(0, n_snapshot, together):
            piece = {"wordline": slice(start, start + rows), "snapshot": slice(first, first + together)}
            part = layer[list(needed)].isel(piece)
            arrays = {name: _per_cell(part[name]) for name in needed}
            for i in range(part.sizes["snapshot"]):
                now = {name: values[i] for name, values in arrays.items()}
                yield first + i, now, before
                before = now


def _per_cell(variable: xr.DataArray) -> Values:
    """Return [snapshot, cell]; the pulses of a pair are added up, and of its faults each sets a bit of its own."""
    values = variable.transpose("snapshot", "wordline", "bitline", ...).values
    if variable.name == "fault":
        values = np.left_shift(1, values.astype(np.int64))
    if "device" in variable.dims:
        add = np.bitwise_or if variable.name == "fault" else np.add
        values = add.reduce(values, axis=-1)
    return values.reshape(values.shape[0], -1)
