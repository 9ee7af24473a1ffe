"""The Pareto front of any two (or more) results."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.errors import ScenarioError, did_you_mean

#: Whether less or more of a quantity is better.
SENSES = ("min", "max")


def pareto_front(values: npt.ArrayLike, senses: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Return which points no other point beats.

    A point is beaten by one that is at least as good in everything and better in something. Equal points do not beat
    each other; a point with a NaN is never on the front, and beats nobody.

    Parameters
    ----------
    values : array_like
        [point, quantity].
    senses : tuple of {"min", "max"}
        For each quantity, which way is better.

    Returns
    -------
    bool[point]

    Raises
    ------
    ScenarioError
        If there are not as many senses as quantities, or one is neither "min" nor "max".

    Examples
    --------
    >>> pareto_front([[1.0, 0.8], [2.0, 0.9], [3.0, 0.85]], ("min", "max"))
    array([ True,  True, False])
    """
    points = np.asarray(values, np.float64)
    if points.ndim != 2 or len(senses) != points.shape[1] or not set(senses) <= set(SENSES):
        raise ScenarioError(
            f"pareto_front: got values {points.shape} and senses {senses}; expected [point, quantity] and for each "
            'quantity "min" or "max".'
        )
    costs = points * np.where(np.array(senses) == "min", 1.0, -1.0)
    front: npt.NDArray[np.bool_] = np.asarray(np.isfinite(costs).all(axis=1))
    # In lexical order a point can only be beaten by an earlier one, and then also by one that is on the front.
    order = [i for i in np.lexsort(costs.T[::-1]) if front[i]]
    kept: list[int] = []
    for i in order:
        rivals = costs[kept]
        if ((rivals <= costs[i]).all(axis=1) & (rivals < costs[i]).any(axis=1)).any():
            front[i] = False
        else:
            kept.append(i)
    return front


def pareto(results: xr.Dataset, senses: Mapping[str, str]) -> xr.DataArray:
    """Return which of the results of a sweep are on the Pareto front.

    Parameters
    ----------
    results : xarray.Dataset
    senses : mapping of str to {"min", "max"}
        Variables, and which way each is better: ``{"energy_per_query": "min", "accuracy": "max"}``.

    Returns
    -------
    xarray.DataArray
        bool, with all dimensions of the variables.

    Raises
    ------
    ScenarioError
        If a variable is not there, or a sense is neither.
    """
    missing = [name for name in senses if name not in results]
    if missing:
        raise ScenarioError(f"pareto, {missing[0]!r}: no such result. {did_you_mean(missing[0], map(str, results))}")
    together = xr.broadcast(*(results[name] for name in senses))
    stacked = np.stack([variable.values.ravel() for variable in together], axis=1)
    front = pareto_front(stacked, tuple(senses.values())).reshape(together[0].shape)
    words = " and ".join(f"{'less' if sense == 'min' else 'more'} {name}" for name, sense in senses.items())
    return xr.DataArray(
        front, dims=together[0].dims, coords=together[0].coords, name="pareto_front",
        attrs={"units": "1", "long_name": f"whether no other result has {words}"},
    )  # fmt: skip
