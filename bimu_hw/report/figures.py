"""The figures of a run: accuracy over the stream, energy by component, plasticity over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.operations import PHASES
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

#: Okabe and Ito's colours, told apart by the colour-blind too (Okabe, Ito, "Color Universal Design", 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
#: Settings of all figures, for `matplotlib.rc_context`.
STYLE: dict[Any, Any] = {
    "figure.figsize": (5.2, 3.2), "figure.dpi": 150, "figure.constrained_layout.use": True, "font.size": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "legend.frameon": False, "savefig.bbox": "tight",
}  # fmt: skip


def draw_run(tree: xr.DataTree, folder: Path) -> None:
    """Draw the figures of a run as PNG files in a folder."""
    import matplotlib as mpl

    # An object of its own, not pyplot: drawing a run must not touch the figures or the backend of whoever calls.
    from matplotlib.figure import Figure
    from matplotlib.rcsetup import cycler

    with mpl.rc_context(STYLE):
        mpl.rcParams["axes.prop_cycle"] = cycler(color=COLOURS)
        for name, draw in (("accuracy", plot_accuracy), ("energy", plot_energy), ("freezing", plot_freezing)):
            if name == "freezing" and not tree.attrs["state_recorded"]:
                continue
            figure = Figure()
            draw(tree, figure.add_subplot())
            figure.savefig(folder / f"{name}.png", metadata={"Software": "bimu-hw"})


def plot_accuracy(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot online accuracy (running mean) and the test accuracy of each task after training on it."""
    queries, tasks = tree["queries"].to_dataset(), tree["tasks"].to_dataset()
    example = queries["example"].values
    weight = queries["n_aggregated"].values
    correct = queries["correct"].values
    window = int(np.clip(len(example) // 40, 1, 500))
    kernel = np.ones(window)
    smooth = np.convolve(correct, kernel, "valid") / np.convolve(weight, kernel, "valid")
    axes.plot(example[window - 1 :], smooth, lw=1, label=f"stream, before learning (mean of {window * weight[0]:,})")
    accuracy = tasks["accuracy"].values
    n_task = len(accuracy)
    last_of_task = [example[queries["task"].values == t].max(initial=0) for t in range(n_task)]
    axes.plot(last_of_task, np.diag(accuracy), "o", color=COLOURS[1], ms=4, label="test set of the newest task")
    axes.plot(last_of_task, accuracy[-1], "x", color=COLOURS[3], ms=5, label="test set of each task, at the end")
    axes.set(xlabel="examples", ylabel="accuracy", ylim=(0, 1.02))
    axes.legend(loc="lower right", fontsize=8)
    return axes


def plot_energy(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot energy per query by component, stacked by phase; idle, which depends on the arrival rate, as a number."""
    from matplotlib.ticker import EngFormatter

    ledger, queries = tree["ledger"].to_dataset(), tree["queries"].to_dataset()
    n = max(1, int(queries["n_aggregated"].sum()))
    energy = np.asarray(ledger["energy"].sum("layer").values) / n
    names = np.array([str(c).replace("_", " ") for c in ledger["component"].values])
    idle = float(energy[PHASES.index("idle")].sum())
    energy[PHASES.index("idle")] = 0.0
    order = np.argsort(energy.sum(axis=0))
    order = order[energy.sum(axis=0)[order] > 0]
    left = np.zeros(len(order))
    for p, phase in enumerate(PHASES):
        values = energy[p, order]
        if values.sum() > 0:
            axes.barh(names[order], values, left=left, color=COLOURS[p], label=phase.replace("_", " "))
            left += values
    axes.xaxis.set_major_formatter(EngFormatter("J"))
    axes.set(xlabel="energy per query")
    axes.set_title(f"without idle, which adds {format_quantity(idle, 'J')} per query at this arrival rate", fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8, loc="lower right")
    return axes


def plot_freezing(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot mean plasticity and the saturated fraction of each layer over the stream."""
    layers = [name for name in tree.children if name.startswith("layer_")]
    for i, name in enumerate(layers):
        layer = tree[name].to_dataset()
        example = layer["example"].values
        plasticity = layer["plasticity"].mean(("wordline", "bitline")).values
        saturated = (abs(layer["lam"]) > 2.5).mean(("wordline", "bitline")).values
        axes.plot(example, plasticity, "o-", ms=3, color=COLOURS[i], label=f"{name.replace('_', ' ')}: mean plasticity")
        axes.plot(example, saturated, "s--", ms=3, color=COLOURS[i], label=f"{name.replace('_', ' ')}: |λ| > 2.5")
    axes.set(xlabel="examples", ylabel="fraction", ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
    return axes
