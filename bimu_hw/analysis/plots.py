"""The figures of a run. Each function draws what was computed before on axes, and returns them; none computes.

Colours, sizes and fonts are the style's (`bimu_hw.report.style.paper_style`): call inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.report.style import COLOURS, si_axis, whole_numbers
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

#: Line styles of layers, which share the colour of a quantity.
_LINES = ("-", "--", ":", "-.")
_LABELS = {
    "plasticity": "mean plasticity", "entropy": "mean entropy (bit)", "saturated_fraction": "saturated",
    "sign_flip_rate": "sign flipped", "dead_zone_fraction": "dead zone", "rail_fraction": "at the rail",
    "worn_out_fraction": "worn out", "stuck_fraction": "stuck", "pulses_per_cell": "pulses per cell",
}  # fmt: skip


def plot_accuracy(online: xr.Dataset, accuracy: xr.DataArray, task_ends: np.ndarray, axes: Axes) -> Axes:
    """Plot accuracy over the stream.

    Parameters
    ----------
    online : xarray.Dataset
        From `bimu_hw.analysis.online_accuracy`.
    accuracy : xarray.DataArray
        Accuracy matrix, [trained_task, task].
    task_ends : array_like
        Examples of the stream before the end of each task, [task].
    axes : Axes
    """
    r = np.asarray(accuracy)
    label = f"stream, before learning (mean of {online.attrs['window']:,})"
    axes.plot(online["example"], online["accuracy"], lw=0.8, label=label)
    for end in task_ends[:-1]:
        axes.axvline(end, color="0.8", lw=0.6, zorder=0)
    axes.plot(task_ends, np.diagonal(r), "o", color=COLOURS[1], ms=3.5, label="test set of the newest task")
    axes.plot(task_ends, r[-1], "x", color=COLOURS[3], ms=4, label="test set of each task, at the end")
    axes.set(xlabel="examples", ylabel="accuracy", ylim=(0, 1.02))
    axes.legend(loc="lower right")
    return axes


def plot_accuracy_matrix(accuracy: xr.DataArray, axes: Axes) -> Axes:
    """Plot an accuracy matrix, [trained_task, task], as a map; what was not evaluated stays grey."""
    r = np.asarray(accuracy)
    axes.set_facecolor("0.88")
    image = axes.imshow(r, origin="upper", vmin=0.0, vmax=1.0, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis, 9)
    if len(r) <= 10:
        for i, j in zip(*np.nonzero(np.isfinite(r)), strict=True):
            axes.text(j, i, f"{100 * r[i, j]:.0f}", ha="center", va="center", fontsize=6,
                      color="black" if r[i, j] > 0.6 else "white")  # fmt: skip
    axes.set(xlabel="task evaluated", ylabel="after task")
    bar = _colourbar(axes, image, "accuracy (%)")
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1.0], labels=["0", "25", "50", "75", "100"])
    return axes


def plot_energy(energy: xr.Dataset, total: xr.Dataset, axes: Axes, idle: float | None = None) -> Axes:
    """Plot energy as bars, stacked by phase, with the interval of each sum.

    Parameters
    ----------
    energy : xarray.Dataset
        ``energy`` [group, phase] in joules, from `bimu_hw.analysis.energy_per_query` with
        ``by=("component", "phase")`` or another first grouping.
    total : xarray.Dataset
        ``low`` and ``high`` [group] of the same phases together.
    axes : Axes
    idle : float, optional
        Energy per query of the phase idle, which depends on the arrival rate, as a note; leave it out of `energy` then.
    """
    group = str(energy["energy"].dims[0])
    names = np.array([str(name).replace("_", " ") for name in energy[group].values])
    values = energy["energy"].values
    whole = values.sum(axis=1)
    order = np.argsort(whole)
    order = order[whole[order] > 0]
    left = np.zeros(len(order))
    for p, phase in enumerate(energy["phase"].values):
        part = values[order, p]
        if part.sum() > 0:
            axes.barh(names[order], part, left=left, color=COLOURS[p % 8], label=str(phase).replace("_", " "))
            left += part
    low, high = (total[end].sel({group: energy[group]}).values[order] for end in ("low", "high"))
    if (high > low).any():
        bars = np.maximum([left - low, high - left], 0.0)
        axes.errorbar(left, np.arange(len(order)), xerr=bars, fmt="none", ecolor="0.2", elinewidth=0.7,
                      label="90 % interval")  # fmt: skip
    si_axis(axes.xaxis, "J")
    axes.set(xlabel="energy per query", xlim=(0, None))
    axes.tick_params(axis="y", length=0)
    if idle is not None:
        axes.set_title(f"idle adds {format_quantity(idle, 'J')} per query at this arrival rate", loc="right")
    axes.legend(loc="lower right")
    return axes


def plot_latency(distribution: xr.Dataset, axes: Axes, quantiles: xr.DataArray | None = None) -> Axes:
    """Plot the share of queries that take no longer, and mark quantiles.

    Parameters
    ----------
    distribution : xarray.Dataset
        From `bimu_hw.analysis.latency_distribution`.
    axes : Axes
    quantiles : xarray.DataArray, optional
        In seconds, [quantile].
    """
    time = distribution["latency"].values
    axes.step(np.append(time[0], time), np.append(0.0, distribution["share"].values), where="post")
    for i, q in enumerate(() if quantiles is None else quantiles["quantile"].values):
        at = float(np.asarray(quantiles)[i])
        axes.plot(at, q, "o", ms=3, color=COLOURS[(1, 3, 2, 5)[i % 4]],
                  label=f"{100 * q:.6g} %: {format_quantity(at, 's')}")  # fmt: skip
    rows = int(distribution.attrs.get("queries_per_row", 1))
    axes.set(xlabel="latency" if rows == 1 else f"latency (means of {rows})", ylabel="share of queries")
    axes.set_ylim(0, 1.03)
    if time[0] > 0 and time[-1] > 30 * time[0]:
        axes.set_xscale("log")
    si_axis(axes.xaxis, "s")
    if quantiles is not None:
        axes.legend(loc="lower right")
    return axes


def plot_freezing(freezing: xr.Dataset, axes: Axes) -> Axes:
    """Plot quantities of freezing over the stream, one colour each; the layers differ by their lines.

    Parameters
    ----------
    freezing : xarray.Dataset
        Variables over ``snapshot`` or ``task``, and ``layer``; a quantity that is nowhere finite, or 0 everywhere, is
        left out. With a coordinate ``example``, that is the axis.
    axes : Axes
    """
    along = "snapshot" if "snapshot" in freezing.dims else "task"
    x = freezing["example"].values if "example" in freezing.coords else np.arange(freezing.sizes[along])
    layers = freezing.sizes.get("layer", 1)
    shown = 0
    for name, variable in freezing.data_vars.items():
        values = variable.transpose(along, ...).values.reshape(len(x), -1)
        if not np.nan_to_num(values).any():
            continue
        for k in range(values.shape[1]):
            label = _LABELS.get(str(name), str(name).replace("_", " "))
            axes.plot(x, values[:, k], _LINES[k % 4], marker="o" if len(x) <= 30 else None, ms=2.2,
                      color=COLOURS[shown % 8], label=label if k == 0 else None)  # fmt: skip
        shown += 1
    for k in range(layers if layers > 1 else 0):
        axes.plot([], [], _LINES[k % 4], color="0.4", label=f"layer {k}")
    axes.set(xlabel="examples" if "example" in freezing.coords else f"{along}", ylabel="fraction")
    axes.set_ylim(-0.02, 1.02)
    if "example" not in freezing.coords:
        whole_numbers(axes.xaxis)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), borderaxespad=0.2)
    return axes


def plot_occupancy(occupancy: xr.DataArray, axes: Axes) -> Axes:
    """Plot the share of cells at each level over the stream as a map.

    Parameters
    ----------
    occupancy : xarray.DataArray
        [snapshot, level], from `bimu_hw.analysis.occupancy_over_snapshots`.
    axes : Axes
    """
    values = 100.0 * occupancy.transpose("level", "snapshot").values
    image = axes.imshow(values, origin="lower", aspect="auto", vmin=0.0)
    example = occupancy["example"].values if "example" in occupancy.coords else np.arange(values.shape[1])
    ticks = np.unique(np.linspace(0, len(example) - 1, min(5, len(example))).round().astype(int))
    axes.set_xticks(ticks, [f"{example[i]:,}" for i in ticks])
    whole_numbers(axes.yaxis)
    axes.set(xlabel="examples (one column per snapshot)", ylabel="level")
    _colourbar(axes, image, "share of cells (%)")
    return axes


def plot_synapse_map(values: xr.DataArray, axes: Axes, symmetric: bool | None = None) -> Axes:
    """Plot one number per synapse, [wordline, bitline], as a map of the array.

    Parameters
    ----------
    values : xarray.DataArray
        With ``long_name`` and ``units``.
    axes : Axes
    symmetric : bool, optional
        Colours that are symmetric about 0; default: where there are values of both signs.
    """
    data = values.transpose("wordline", "bitline").values.astype(np.float64)
    largest = float(np.nanmax(np.abs(data), initial=0.0))
    if symmetric is None:
        symmetric = bool((data < 0).any() and (data > 0).any())
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest} if symmetric and largest else {}
    image = axes.imshow(data, aspect="auto", **scale)
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis)
    axes.set(xlabel="bit line", ylabel="word line")
    units = str(values.attrs.get("units", "1"))
    name = str(values.name or values.attrs.get("long_name", ""))
    bar = _colourbar(axes, image, {"lam": "λ", "plasticity": "plasticity sech²λ"}.get(name, name.replace("_", " ")))
    if units not in ("1", ""):
        si_axis(bar.ax.yaxis, units)
    return axes


def plot_reliability(found: xr.Dataset, axes: Axes) -> Axes:
    """Plot accuracy against confidence, the area of each point in proportion to its predictions.

    Parameters
    ----------
    found : xarray.Dataset
        From `bimu_hw.analysis.reliability`, `calibration` or `vote_reliability`.
    axes : Axes
    """
    count = found["count"].values
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls="--", label="calibrated")
    axes.plot(found["confidence"], found["accuracy"], "-", lw=0.8, color=COLOURS[0])
    axes.scatter(found["confidence"], found["accuracy"], s=6 + 60 * count / max(1, count.max()), color=COLOURS[0], lw=0)
    gap = float(found["expected_calibration_error"])
    axes.set(xlabel=str(found["confidence"].attrs["long_name"]), ylabel="share of right predictions")
    axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05))
    axes.set_title(f"mean gap {100 * gap:.1f} %", loc="right")
    axes.legend(loc="upper left")
    return axes


def _colourbar(axes: Axes, image: Any, label: str) -> Any:
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(label)
    return bar
