"""The results of a sweep over its axes: means over seeds with confidence intervals, and the front of two results.

A dataset of results has one dimension per axis, then seeds, and for some variables ``task`` (``docs/sweeps.md``). Cells
that are missing are NaN, and left out of every mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bimu_hw.analysis.ablation import bootstrap_mean
from bimu_hw.analysis.labels import labelled
from bimu_hw.analysis.pareto import pareto_front
from bimu_hw.errors import ScenarioError, SchemaError, did_you_mean

#: Dimensions of results that are no axes.
_NO_AXES = ("task",)


def sweep_axes(results: xr.Dataset) -> list[str]:
    """Return the axes of a sweep, in the order of its dimensions.

    Raises
    ------
    SchemaError
        If the dataset holds no results of a sweep.
    """
    if "status" not in results:
        raise SchemaError("this dataset holds no results of a sweep (no 'status'); make one with bimu-hw collect.")
    return [str(d) for d in results["status"].dims if not str(d).startswith("seed") and d not in _NO_AXES]


def seed_dims(results: xr.Dataset) -> list[str]:
    """Return the dimensions of seeds."""
    return [str(d) for d in results["status"].dims if str(d).startswith("seed")]


def mean_over_seeds(
    results: xr.Dataset, name: str, along: Sequence[str] | None = None, level: float = 0.95
) -> xr.Dataset:
    """Return the mean of a result over seeds, with its bootstrap confidence interval.

    Parameters
    ----------
    results : xarray.Dataset
    name : str
        A variable.
    along : sequence of str, optional
        Axes that stay; means over the others are taken first, seed by seed. Default: all axes stay.
    level : float
        Of the interval.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``low``, ``high`` in the units of the result, and ``n_seeds``, over `along`. The ends are NaN for a
        single seed.

    Raises
    ------
    ScenarioError
        If there is no such variable or axis.
    SchemaError
        If the dataset holds no results of a sweep.
    """
    axes, seeds = sweep_axes(results), seed_dims(results)
    if name not in results:
        raise ScenarioError(f"sweep, {name!r}: no such result. {did_you_mean(name, map(str, results))}")
    kept = axes if along is None else list(along)
    for axis in kept:
        if axis not in axes:
            raise ScenarioError(f"sweep, axis {axis!r}: not there. {did_you_mean(axis, axes)}")
    variable = results[name]
    mean = variable.mean([d for d in variable.dims if d not in kept and d not in seeds])
    moved = mean.transpose(*kept, *seeds)
    shape = tuple(moved.sizes[d] for d in kept)
    flat = moved.values.reshape(int(np.prod(shape, dtype=int)), -1)
    found = np.array([bootstrap_mean(row, level) for row in flat]).reshape(*shape, 3)
    units, what = str(variable.attrs.get("units", "1")), str(variable.attrs.get("long_name", name))
    words = (("mean", f"{what}, mean over seeds"), ("low", f"{what}, low end of the {level:.0%} interval"),
             ("high", f"{what}, high end of the {level:.0%} interval"))  # fmt: skip
    variables = {key: labelled(kept, found[..., i], units, text) for i, (key, text) in enumerate(words)}
    there = np.isfinite(flat).sum(axis=1).reshape(shape)
    variables["n_seeds"] = labelled(kept, there, "1", "seeds that the mean is over")
    return xr.Dataset(variables, {k: v for k, v in moved.coords.items() if set(v.dims) <= set(kept)})


def points_of(results: xr.Dataset, senses: Mapping[str, str]) -> xr.Dataset:
    """Return every point of the axes with the means over seeds of some results, and whether it is on their front.

    Parameters
    ----------
    results : xarray.Dataset
    senses : mapping of str to {"min", "max"}
        Results, and which way each is better.

    Returns
    -------
    xarray.Dataset
        [point]: the results, ``pareto_front``, and the axes as coordinates.

    Raises
    ------
    ScenarioError
        As `mean_over_seeds` and `pareto_front`.
    """
    axes = sweep_axes(results)
    variables = {}
    for name in senses:
        mean = mean_over_seeds(results, name)["mean"]
        attrs = {"units": mean.attrs["units"], "long_name": str(results[name].attrs.get("long_name", name))}
        variables[name] = xr.Variable(("point",), mean.transpose(*axes).values.ravel(), attrs)
    front = pareto_front(np.stack([v.values for v in variables.values()], axis=1), tuple(senses.values()))
    grid = np.meshgrid(*(results[axis].values for axis in axes), indexing="ij") if axes else []
    coords = {axis: ("point", values.ravel(), results[axis].attrs) for axis, values in zip(axes, grid, strict=True)}
    variables["pareto_front"] = labelled(("point",), front, "1", "whether no other point is better")
    return xr.Dataset(variables, coords)


def matched_points(a: xr.Dataset, b: xr.Dataset, names: Sequence[str]) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the points and seeds that two sweeps share, in the same order.

    A point is shared if all coordinates along all axes are equal in both. Numbers of samples are no values: points of
    two random samples are shared where the values that were drawn are.

    Parameters
    ----------
    a, b : xarray.Dataset
        Results with the same axes, in any order.
    names : sequence of str
        Results that both have.

    Returns
    -------
    tuple of xarray.Dataset
        Of `a` and of `b`: the results [point, seed], with the coordinates of the axes along ``point``.

    Raises
    ------
    ScenarioError
        If the axes differ, or there is no point or no seed that both have.
    """
    axes, seeds = sweep_axes(a), seed_dims(a)
    if set(axes) != set(sweep_axes(b)) or seeds != seed_dims(b):
        theirs = ", ".join((*sweep_axes(b), *seed_dims(b)))
        raise ScenarioError(
            f"two sweeps: one has the dimensions {', '.join((*axes, *seeds))}, the other {theirs}; points are matched "
            "where both have the same."
        )
    first, second = (_point_keys(results, axes) for results in (a, b))
    points = [key for key in first if key in second]
    chosen = [_seed_keys(results, seeds) for results in (a, b)]
    common = [seed for seed in chosen[0] if seed in chosen[1]]
    if not points or not common:
        what = "point of their axes" if not points else "seed"
        raise ScenarioError(f"two sweeps: no {what} is in both, so nothing can be compared in pairs.")
    found = []
    for results, places, numbers in ((a, first, chosen[0]), (b, second, chosen[1])):
        at = [places[key] for key in points]
        across = [numbers[seed] for seed in common]
        variables = {}
        for name in names:
            values = results[name].transpose(*axes, *seeds).values.reshape(len(places), len(numbers))
            variables[name] = xr.Variable(("point", "seed"), values[np.ix_(at, across)], results[name].attrs)
        shape = tuple(results.sizes[axis] for axis in axes)
        index = np.unravel_index(at, shape) if axes else ()
        coords = {axis: ("point", results[axis].values[i], results[axis].attrs)
                  for axis, i in zip(axes, index, strict=True)}  # fmt: skip
        labels = ["/".join(map(str, seed)) if len(seed) > 1 else seed[0] for seed in common]
        found.append(xr.Dataset(variables, {**coords, "seed": labels}))
    return found[0], found[1]


def _point_keys(results: xr.Dataset, axes: Sequence[str]) -> dict[tuple[object, ...], int]:
    """Return the number of every point by the values of all coordinates along the axes."""
    columns = [
        [
            c
            for _, c in sorted(results.coords.items(), key=lambda item: str(item[0]))
            if c.dims == (axis,) and "key" in c.attrs
        ]
        for axis in axes
    ]
    keys: dict[tuple[object, ...], int] = {}
    for number, index in enumerate(np.ndindex(*(results.sizes[axis] for axis in axes))):
        values = (c.values[i] for each, i in zip(columns, index, strict=True) for c in each)
        # A NaN stands for a key that is not there, and equals itself here.
        key = tuple("none" if isinstance(v, float) and np.isnan(v) else v for v in values)
        keys.setdefault(key, number)
    return keys


def _seed_keys(results: xr.Dataset, dims: Sequence[str]) -> dict[tuple[int, ...], int]:
    grids = np.meshgrid(*(results[dim].values for dim in dims), indexing="ij")
    return {tuple(int(v) for v in each): i for i, each in enumerate(zip(*(g.ravel() for g in grids), strict=True))}
