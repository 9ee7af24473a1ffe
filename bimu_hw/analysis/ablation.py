"""Paired differences with bootstrap confidence intervals: what one nonideality costs, seed against seed.

Two runs with the same seeds share chip, noise and data as far as both have them, so their difference varies less than
either. The bootstrap draws seeds, not single runs.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.errors import ScenarioError

#: Resamples of a bootstrap.
N_BOOT = 10_000


def bootstrap_mean(
    values: npt.ArrayLike, level: float = 0.95, n_boot: int = N_BOOT, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean, and a percentile bootstrap confidence interval for it.

    Parameters
    ----------
    values : array_like
        One per seed; NaN (a run that is missing) is left out.
    level : float
        Probability of the interval, between 0 and 1.
    n_boot : int
        Resamples.
    seed : int
        Of the resampling: equal calls give equal intervals.

    Returns
    -------
    mean, low, high : float
        All NaN without a value; low and high NaN with a single one, of which no spread can be told.

    Raises
    ------
    ScenarioError
        If the values are not one-dimensional, or `level` or `n_boot` is out of range.

    Notes
    -----
    With few seeds a percentile interval is too narrow: with 8 draws from a normal distribution the 95 % interval covers
    the mean in 89 % of cases.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not 0.0 < level < 1.0 or n_boot < 1:
        raise ScenarioError(
            f"bootstrap: got values {x.shape}, level {level} and {n_boot} resamples; expected [seed], a level between "
            "0 and 1, and at least one resample."
        )
    x = x[~np.isnan(x)]
    if x.size == 0:
        return float("nan"), float("nan"), float("nan")
    mean = float(x.mean())
    if x.size == 1:
        return mean, float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, x.size, (n_boot, x.size))
    low, high = np.quantile(x[draws].mean(axis=1), [0.5 * (1.0 - level), 0.5 * (1.0 + level)])
    return mean, float(low), float(high)


def paired_difference(
    a: xr.DataArray, b: xr.DataArray, dim: Hashable = "seed", level: float = 0.95, n_boot: int = N_BOOT
) -> xr.Dataset:
    """Return the mean of a - b over seeds that both have, with its bootstrap confidence interval.

    Parameters
    ----------
    a, b : xarray.DataArray
        Results, matched by the coordinate `dim`; other dimensions are kept.
    dim : str
    level : float
    n_boot : int

    Returns
    -------
    xarray.Dataset
        ``difference``, ``low``, ``high`` in the units of `a`, and ``n_pairs``.

    Raises
    ------
    ScenarioError
        If one of the two lacks the dimension, or they share no seed.
    """
    for name, given in (("a", a), ("b", b)):
        if dim not in given.dims:
            raise ScenarioError(f"paired_difference, {name}: has dimensions {given.dims}; expected {dim!r} among them.")
    difference = a - b  # xarray keeps what both have
    if difference.sizes[dim] == 0:
        raise ScenarioError(f"paired_difference: the two have no {dim} in common; run them with the same seeds.")
    moved = difference.transpose(..., dim)
    flat = moved.values.reshape(-1, moved.sizes[dim]).astype(np.float64)
    found = np.array([bootstrap_mean(row, level, n_boot) for row in flat]).reshape(*moved.shape[:-1], 3)
    dims = moved.dims[:-1]
    units, what = str(a.attrs.get("units", "1")), str(a.attrs.get("long_name", a.name or "result"))
    names = (
        ("difference", f"difference of {what}"),
        ("low", f"difference of {what}, low end of the {level:.0%} interval"),
        ("high", f"difference of {what}, high end of the {level:.0%} interval"),
    )
    variables = {name: labelled(dims, found[..., i], units, meaning) for i, (name, meaning) in enumerate(names)}
    n_pairs = (~np.isnan(moved.values)).sum(axis=-1)
    variables["n_pairs"] = labelled(dims, n_pairs, "1", f"pairs with a common {dim}")
    coords = {k: v for k, v in moved.coords.items() if dim not in v.dims}
    return xr.Dataset(variables, coords=coords, attrs={"level": level, "n_boot": n_boot})
