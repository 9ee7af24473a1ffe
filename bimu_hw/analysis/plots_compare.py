"""Figures that set results beside each other: runs over one another, results over the axes of a sweep, fronts.

Each function draws what was computed before on axes, and returns them, in the style of `bimu_hw.report.style`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.report.style import COLOURS, si_axis, whole_numbers

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_MARKERS = "os^Dvph*"


def plot_accuracies(online: Mapping[str, xr.Dataset], axes: Axes) -> Axes:
    """Plot the accuracy over the stream of several runs.

    Parameters
    ----------
    online : mapping of str to xarray.Dataset
        By name of the run, from `bimu_hw.analysis.online_accuracy`.
    axes : Axes
    """
    for i, (name, one) in enumerate(online.items()):
        axes.plot(one["example"], one["accuracy"], lw=0.9, color=COLOURS[_far(i)], label=name)
    axes.set(xlabel="examples", ylabel="accuracy before learning", ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return axes


def plot_energies(energy: Mapping[str, xr.Dataset], axes: Axes) -> Axes:
    """Plot energy per query of several runs by component, with the interval of the prices.

    Parameters
    ----------
    energy : mapping of str to xarray.Dataset
        By name of the run: ``energy``, ``low``, ``high`` [component] in joules.
    axes : Axes
    """
    names = list(dict.fromkeys(str(c) for one in energy.values() for c in one["component"].values))
    values = {run: _by_component(one, names) for run, one in energy.items()}
    largest = np.max([v[0] for v in values.values()], axis=0)
    order = [i for i in np.argsort(largest) if largest[i] > 0]
    place, height = np.arange(len(order)), 0.8 / max(1, len(values))
    for k, (run, (middle, low, high)) in enumerate(values.items()):
        at = place + 0.4 - (k + 0.5) * height
        bars = np.maximum([middle[order] - low[order], high[order] - middle[order]], 0.0)
        axes.barh(at, middle[order], height, color=COLOURS[_far(k)], label=run, xerr=bars,
                  error_kw={"elinewidth": 0.6, "ecolor": "0.2", "capsize": 1.2})  # fmt: skip
    axes.set_yticks(place, [names[i].replace("_", " ") for i in order])
    axes.tick_params(axis="y", length=0)
    si_axis(axes.xaxis, "J")
    axes.set(xlabel="energy per query, idle included", xlim=(0, None))
    axes.legend(loc="lower right")
    return axes


def _by_component(one: xr.Dataset, names: list[str]) -> tuple[np.ndarray, ...]:
    known = {str(c): i for i, c in enumerate(one["component"].values)}
    return tuple(
        np.array([float(one[end].values[known[n]]) if n in known else 0.0 for n in names])
        for end in ("energy", "low", "high")
    )


def plot_latencies(distributions: Mapping[str, xr.Dataset], axes: Axes) -> Axes:
    """Plot the distribution of latency of several runs (from `bimu_hw.analysis.latency_distribution`)."""
    ends = []
    for i, (name, one) in enumerate(distributions.items()):
        time, share = one["latency"].values, one["share"].values
        axes.step(np.append(time[0], time), np.append(0.0, share), where="post", color=COLOURS[_far(i)], label=name)
        ends += [time[0], time[-1]]
    if min(ends) > 0 and max(ends) > 30 * min(ends):
        axes.set_xscale("log")
    axes.set(xlabel="latency", ylabel="share of queries", ylim=(0, 1.03))
    si_axis(axes.xaxis, "s")
    axes.legend(loc="lower right")
    return axes


def plot_plasticities(freezing: Mapping[str, xr.Dataset], axes: Axes) -> Axes:
    """Plot the mean plasticity of each layer at the end of each task, for several runs.

    Parameters
    ----------
    freezing : mapping of str to xarray.Dataset
        By name of the run: ``plasticity`` [task, layer] with the coordinate ``example``.
    axes : Axes
    """
    for i, (name, one) in enumerate(freezing.items()):
        for k in range(one.sizes["layer"]):
            axes.plot(one["example"], one["plasticity"].isel(layer=k), ("-", "--", ":", "-.")[k % 4], marker="o",
                      ms=2.2, color=COLOURS[_far(i)], label=f"{name}, layer {k}")  # fmt: skip
    axes.set(xlabel="examples", ylabel="mean plasticity sech²λ", ylim=(0, 1.02))
    axes.legend(loc="best")
    return axes


def plot_along(found: Mapping[str, xr.Dataset], x: xr.DataArray, axes: Axes, units: str = "1", label: str = "") -> Axes:
    """Plot means over an axis of a sweep, one line per group, with their confidence intervals.

    Parameters
    ----------
    found : mapping of str to xarray.Dataset
        By group (an empty name where there is one): ``mean``, ``low``, ``high`` along `x`.
    x : xarray.DataArray
        Values of the axis: numbers, or words.
    axes : Axes
    units, label : str
        Of what is drawn.
    """
    words = x.dtype.kind in "OUT"
    at = np.arange(x.size) if words else x.values.astype(np.float64)
    for i, (name, one) in enumerate(found.items()):
        mean, low, high = (one[n].values for n in ("mean", "low", "high"))
        if not np.isfinite(mean).any():
            continue
        error = np.nan_to_num(np.maximum([mean - low, high - mean], 0.0))
        axes.errorbar(at, mean, error, linestyle="none" if words else "-", elinewidth=0.7,
                      marker=_MARKERS[i % 8], ms=3, color=COLOURS[i % 8], label=name or None)  # fmt: skip
    if words:
        axes.set_xticks(at, [str(v).replace("_", " ") for v in x.values], rotation=20 if x.size > 3 else 0, ha="center")
        axes.set_xlim(-0.5, x.size - 0.5)
    elif (at > 0).all() and at.max() > 30 * at.min():
        axes.set_xscale("log")
    elif (at == np.rint(at)).all():
        whole_numbers(axes.xaxis, min(6, max(1, x.size)))
    if not words and str(x.attrs.get("units", "1")) not in ("1", ""):
        si_axis(axes.xaxis, str(x.attrs["units"]))
    if units not in ("1", ""):
        si_axis(axes.yaxis, units)
    axes.set(xlabel=str(x.name).replace("_", " "), ylabel=label)
    if any(found) and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    return axes


def plot_pareto(points: xr.Dataset, front: np.ndarray, axes: Axes, labels: tuple[str, ...] = ()) -> Axes:
    """Plot two results against each other, and the front that no point beats.

    Parameters
    ----------
    points : xarray.Dataset
        Two variables [point], the first on x, with ``units`` and ``long_name``.
    front : array_like of bool
        [point].
    axes : Axes
    labels : tuple of str
        What to write beside the points of the front, in the order of x; none if empty.
    """
    x, y = points.data_vars.values()
    on = np.asarray(front)
    axes.plot(x.values[~on], y.values[~on], "o", ms=3, color="0.7", label="beaten")
    order = np.argsort(x.values[on])
    xs, ys = x.values[on][order], y.values[on][order]
    axes.plot(xs, ys, "o-", ms=4, lw=0.8, color=COLOURS[3], label="Pareto front")
    for text, a, b in zip(labels, xs, ys, strict=False):
        axes.annotate(text, (a, b), xytext=(4, -2), textcoords="offset points", fontsize=6, va="top")
    _label_axes(points, axes)
    if np.nanmax(x.values, initial=0.0) > 10 * np.nanmin(np.where(x.values > 0, x.values, np.inf), initial=np.inf):
        axes.set_xscale("log")
    axes.legend(loc="best")
    return axes


def plot_joint_front(points: Mapping[str, xr.Dataset], on: Mapping[str, np.ndarray], axes: Axes) -> Axes:
    """Plot the points of several sweeps, and the front that no point of any of them beats.

    Parameters
    ----------
    points : mapping of str to xarray.Dataset
        By name of the sweep: two variables [point], the first on x, with ``units`` and ``long_name``.
    on : mapping of str to array_like of bool
        [point]: whether it is on the front of all together.
    axes : Axes
    """
    x_name, y_name = list(next(iter(points.values())).data_vars)[:2]
    ends = [np.concatenate([one[n].values[on[name]] for name, one in points.items()]) for n in (x_name, y_name)]
    order = np.argsort(ends[0])
    axes.plot(ends[0][order], ends[1][order], "-", lw=0.8, color="0.3", label="front of both", zorder=1)
    smallest, largest = np.inf, 0.0
    for i, (name, one) in enumerate(points.items()):
        colour, x, y = COLOURS[i % 8], one[x_name].values, one[y_name].values
        style: dict[str, Any] = {"ls": "none", "marker": _MARKERS[i % 8], "ms": 3.5, "color": colour, "mew": 0.6}
        axes.plot(x[~on[name]], y[~on[name]], mfc="none", **style)
        axes.plot(x[on[name]], y[on[name]], **style)
        axes.plot([], [], label=name, **style)
        smallest = min(smallest, np.nanmin(np.where(x > 0, x, np.inf), initial=np.inf))
        largest = max(largest, np.nanmax(x, initial=0.0))
    _label_axes(next(iter(points.values())), axes)
    if largest > 10 * smallest:
        axes.set_xscale("log")
    axes.legend(loc="best")
    return axes


def _label_axes(points: xr.Dataset, axes: Axes) -> None:
    """Give the axes the names and units of two variables."""
    for axis, (name, variable) in zip((axes.xaxis, axes.yaxis), points.data_vars.items(), strict=False):
        units = str(variable.attrs.get("units", "1"))
        axis.set_label_text(str(variable.attrs.get("long_name", name)))
        if units not in ("1", ""):
            si_axis(axis, units)


def plot_ablation(differences: xr.Dataset, axes: Axes, label: str, scale: float = 1.0, units: str = "1") -> Axes:
    """Plot paired differences with their confidence intervals, one row per nonideality.

    Parameters
    ----------
    differences : xarray.Dataset
        ``difference``, ``low``, ``high`` [nonideality, how], how being "among the others" and "alone".
    axes : Axes
    label : str
        Of the axis.
    scale : float
        By which differences are multiplied: 100 for percentage points.
    units : str
        For ticks with SI prefixes.
    """
    names = [str(n).replace("_", " ") for n in differences["nonideality"].values]
    place = np.arange(len(names))[::-1]
    for i, how in enumerate(differences["how"].values):
        one = differences.sel(how=how)
        middle, low, high = (scale * one[n].values for n in ("difference", "low", "high"))
        error = np.nan_to_num(np.maximum([middle - low, high - middle], 0.0))
        axes.errorbar(middle, place + (0.14, -0.14)[i % 2], xerr=error, fmt=_MARKERS[i], ms=3.5, elinewidth=0.8,
                      color=COLOURS[(0, 3)[i % 2]], label=str(how))  # fmt: skip
    axes.axvline(0.0, color="0.6", lw=0.7, zorder=0)
    axes.set_yticks(place, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=label)
    if units != "1":
        si_axis(axes.xaxis, units)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes


def _far(i: int) -> int:
    """Return the colour of a run: neighbours are far apart."""
    return (0, 3, 2, 5, 1, 4)[i % 6]
