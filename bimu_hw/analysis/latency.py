"""How long a query waits and takes: quantiles and the distribution, over all queries or by task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.errors import ScenarioError

#: The quantiles that people ask for.
QUANTILES = (0.5, 0.9, 0.99, 0.999)


def latency_quantiles(
    latency: npt.ArrayLike, quantiles: Sequence[float] = QUANTILES, weights: npt.ArrayLike | None = None
) -> xr.DataArray:
    """Return quantiles of latencies: the smallest one that at least this share of queries does not exceed.

    Parameters
    ----------
    latency : array_like
        In seconds, [query].
    quantiles : sequence of float
        From 0 to 1.
    weights : array_like, optional
        Queries that each value stands for; where that is more than one, a value is a mean of theirs, and the tail of
        the distribution is hidden.

    Returns
    -------
    xarray.DataArray
        In seconds, [quantile].

    Raises
    ------
    ScenarioError
        If there is no query or a quantile is out of range.
    """
    values, share = latency_cdf(latency, weights)
    asked = np.asarray(quantiles, np.float64)
    if not ((asked >= 0.0) & (asked <= 1.0)).all():
        raise ScenarioError(f"latency, quantiles: got {list(quantiles)}; allowed are 0 to 1.")
    # A share that rounding put just below the quantile asked for still reaches it.
    place = np.minimum(np.searchsorted(share, asked - 1e-12), len(values) - 1)
    return xr.DataArray(
        values[place], dims=("quantile",), coords={"quantile": labelled(("quantile",), asked, "1", "share of queries")},
        name="latency", attrs={"units": "s", "long_name": "time from arrival to prediction"},
    )  # fmt: skip


def latency_cdf(
    latency: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the distinct latencies, sorted, and the share of queries that do not exceed each.

    Parameters
    ----------
    latency : array_like
        In seconds, [query].
    weights : array_like, optional
        Queries that each value stands for.

    Raises
    ------
    ScenarioError
        If there is no query or shapes differ.
    """
    t = np.asarray(latency, np.float64).ravel()
    w = np.ones_like(t) if weights is None else np.asarray(weights, np.float64).ravel()
    if t.size == 0 or w.shape != t.shape:
        raise ScenarioError(f"latency: got {t.size} values and {w.size} weights; expected as many, and at least one.")
    values, place = np.unique(t, return_inverse=True)
    share = np.cumsum(np.bincount(place, weights=w))
    return values, share / share[-1]


def latency_distribution(queries: xr.Dataset, n_points: int = 1000) -> xr.Dataset:
    """Return the distribution of latency, thinned to points that a plot needs.

    Parameters
    ----------
    queries : xarray.Dataset
        Group ``/queries`` of a record.
    n_points : int
        Most points; the ends are always among them, and the tail has as many as the middle.

    Returns
    -------
    xarray.Dataset
        ``share`` [latency], the share of queries that take no longer; attribute ``queries_per_row``, the queries that a
        row stands for.

    Raises
    ------
    ScenarioError
        If there is no query.
    """
    weights = queries["n_aggregated"].values
    values, share = latency_cdf(queries["latency"].values, weights)
    if len(values) > n_points:
        # Even steps in the share, and even steps in the latency.
        even = np.searchsorted(share, np.linspace(0.0, 1.0, n_points // 2))
        spread = np.searchsorted(values, np.linspace(values[0], values[-1], n_points // 2))
        keep = np.unique(np.clip(np.concatenate([even, spread, [0, len(values) - 1]]), 0, len(values) - 1))
        values, share = values[keep], share[keep]
    return xr.Dataset(
        {"share": labelled(("latency",), share, "1", "share of queries that take no longer")},
        coords={"latency": labelled(("latency",), values, "s", "time from arrival to prediction")},
        attrs={"queries_per_row": int(weights.max())},
    )
