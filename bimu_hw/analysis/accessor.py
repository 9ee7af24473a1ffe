"""``ds.bimu``: the analysis of a record, or of the results of a sweep, at hand on the object itself.

Thin on purpose: each method picks the group and what the record knows of it (levels, samples) and calls the function
of the same name. Methods that begin with ``plot_`` draw on the axes given, else on a new pyplot figure, as xarray's
own plots do, and return the axes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bimu_hw.analysis import energy, freezing, latency, learning, plots, uncertainty
from bimu_hw.analysis.ablation import N_BOOT, paired_difference
from bimu_hw.analysis.labels import labelled
from bimu_hw.analysis.latex import to_latex
from bimu_hw.analysis.pareto import pareto
from bimu_hw.analysis.plots_device import draw, plot_ir_drop, plot_pulse_response, plot_sigmoid
from bimu_hw.errors import ScenarioError, SchemaError, did_you_mean
from bimu_hw.learning.metrics import time_to_freeze
from bimu_hw.scenario.recorded import rebuilt_card

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bimu_hw.cards import Card


@xr.register_datatree_accessor("bimu")
class RunAnalysis:
    """Analysis of a run's record; its groups are read when they are needed.

    Parameters
    ----------
    tree : xarray.DataTree
        From `bimu_hw.open_run`.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def _group(self, name: str) -> xr.Dataset:
        if name not in self._tree.children:
            raise SchemaError(f"bimu: this tree has no group /{name}; open a run with bimu_hw.open_run.")
        return self._tree[name].to_dataset()

    @property
    def scenario(self) -> dict[str, Any]:
        """The scenario of the run, every value in SI, as in ``scenario.json``; `SchemaError` if the tree has none."""
        if "resolved_scenario" not in self._tree.attrs:
            raise SchemaError("bimu: this tree holds no scenario; open a run with bimu_hw.open_run.")
        found: dict[str, Any] = json.loads(self._tree.attrs["resolved_scenario"])
        return found

    @property
    def layers(self) -> list[str]:
        """Names of the groups of layers, first to last; none in a run that recorded no states."""
        names = [name for name in self._tree.children if name.startswith("layer_")]
        return sorted(names, key=lambda name: int(name[6:]))

    @property
    def grid(self) -> freezing.LevelGrid:
        """Levels of the store."""
        device, card = self.scenario["device"], self.scenario["cards"]["storage"]
        n_levels = int(card["params"]["n_levels"])
        return freezing.LevelGrid(n_levels, float(device["lam_max"]) if n_levels else np.inf)

    def freezing(self, by: str = "task", names: Sequence[str] | None = None, threshold: float = 2.5) -> xr.Dataset:
        """Return how frozen each layer is, [task, layer] or [snapshot, layer].

        Parameters
        ----------
        by : {"task", "snapshot"}
            At the end of each task, as the run itself measured it; or at every recorded state, from the maps.
        names : sequence of str, optional
            Quantities; see `freezing_over_snapshots`. Default: all that the group ``/freezing`` has, and by snapshot
            those that need lam alone.
        threshold : float
            |lam| above which a synapse counts as saturated (by snapshot).

        Returns
        -------
        xarray.Dataset
            Fractions and means from 0 to 1 (entropy in bit), with the coordinate ``example``.

        Raises
        ------
        ScenarioError
            If a quantity or `by` is not known.
        SchemaError
            If the run recorded no states and `by` is "snapshot".
        """
        if by == "task":
            found = self._group("freezing")
            unknown = [name for name in names or () if name not in found]
            if unknown:
                raise ScenarioError(f"freezing, {unknown[0]!r}: not known. {did_you_mean(unknown[0], map(str, found))}")
            found = found if names is None else found[list(names)]
            ends = labelled(("task",), self.task_ends(), "1", "examples of the stream before the end of the task")
            return found.assign_coords(example=ends)
        if by != "snapshot":
            raise ScenarioError(f"freezing, by {by!r}: allowed are \"task\" and \"snapshot\".")
        grid, chosen = self.grid, names or freezing.FROM_LAM
        each = [
            freezing.freezing_over_snapshots(self._group(name), chosen, grid, threshold) for name in self._states()
        ]
        layer = labelled(("layer",), np.arange(len(each)), "1", "index of the layer")
        return xr.concat(each, "layer", coords="minimal", compat="override").assign_coords(layer=layer)

    def time_to_freeze(
        self, name: str = "plasticity", threshold: float = 0.5, by: str = "task", rising: bool = False
    ) -> xr.DataArray:
        """Return after how many examples each layer was frozen, [layer]; see `bimu_hw.learning.time_to_freeze`.

        Parameters
        ----------
        name : str
            Quantity of `freezing`.
        threshold : float
            Its value that counts as frozen.
        by : {"task", "snapshot"}
            Where it was looked at.
        rising : bool
            Whether it freezes upwards, as fractions of frozen synapses do.

        Returns
        -------
        xarray.DataArray
            Examples; NaN where the threshold was not reached within the run.
        """
        found = self.freezing(by, (name,))
        if by == "snapshot" and freezing.compares(name) and found.sizes["snapshot"] > 1:
            found = found.isel(snapshot=slice(1, None))
        at = found["example"].values.astype(np.float64)
        examples = [time_to_freeze(at, found[name].isel(layer=k), threshold, rising=rising) for k in found["layer"]]
        values = labelled(("layer",), examples, "1", f"examples until {name} reached {threshold:g}")
        return xr.DataArray(values, {"layer": found["layer"]}, name="time_to_freeze")

    def occupancy(self, layer: int = 0) -> xr.DataArray:
        """Return the share of cells at each level at every recorded state, [snapshot, level]."""
        return freezing.occupancy_over_snapshots(self._layer(layer), self.grid.n_levels)

    def task_ends(self) -> np.ndarray:
        """Return the examples of the stream before the end of each task, int64[task]."""
        queries, n_task = self._group("queries"), self._group("tasks").sizes["task"]
        task, example = queries["task"].values, queries["example"].values
        last = int((example + queries["n_aggregated"].values).max(initial=0))
        starts = [int(example[task > t].min(initial=last)) for t in range(n_task)]
        return np.array(starts, np.int64)

    def continual_learning(self, k: int = 5) -> xr.Dataset:
        """Return mean accuracy, backward transfer, resilience and the curves behind them."""
        return learning.continual_learning(self._group("tasks")["accuracy"], k)

    def online_accuracy(self, window: int | None = None) -> xr.Dataset:
        """Return the accuracy of predictions before they were learned, as a running mean."""
        return learning.online_accuracy(self._group("queries"), window)

    def reliability(self) -> xr.Dataset:
        """Return accuracy against the share of weight samples that agree with the prediction."""
        return uncertainty.vote_reliability(self._group("queries"), int(self.scenario["network"]["samples"]))

    def error_detection(self) -> xr.DataArray:
        """Return how well each uncertainty tells wrong predictions from right ones, [measure]."""
        return uncertainty.error_detection(self._group("queries"))

    def energy(self, by: str | Sequence[str] = "component", phases: str | Sequence[str] = "all") -> xr.Dataset:
        """Return the energy of the run by any grouping, with its interval."""
        return energy.energy_by(self._group("ledger"), by, phases)

    def energy_per_query(
        self, by: str | Sequence[str] = "component", phases: str | Sequence[str] = "all"
    ) -> xr.Dataset:
        """Return the energy per query served by any grouping, with its interval."""
        n_queries = int(self._group("queries")["n_aggregated"].sum())
        return energy.energy_per_query(self._group("ledger"), n_queries, by, phases)

    def latency(self, quantiles: Sequence[float] = latency.QUANTILES) -> xr.DataArray:
        """Return quantiles of the time from arrival to prediction, [quantile]."""
        queries = self._group("queries")
        return latency.latency_quantiles(queries["latency"].values, quantiles, queries["n_aggregated"].values)

    def latency_distribution(self, n_points: int = 1000) -> xr.Dataset:
        """Return the share of queries that take no longer, [latency]."""
        return latency.latency_distribution(self._group("queries"), n_points)

    def plot_accuracy(self, axes: Axes | None = None) -> Axes:
        """Plot accuracy over the stream."""
        accuracy = self._group("tasks")["accuracy"]
        return draw(axes, plots.plot_accuracy, self.online_accuracy(), accuracy, self.task_ends())

    def plot_accuracy_matrix(self, axes: Axes | None = None) -> Axes:
        """Plot the accuracy on each task after each task."""
        return draw(axes, plots.plot_accuracy_matrix, self._group("tasks")["accuracy"])

    def plot_energy(self, by: str = "component", axes: Axes | None = None) -> Axes:
        """Plot the energy per query by component (or another grouping), stacked by phase; idle as a number."""
        found = self.energy_per_query((by, "phase"))
        busy = [phase for phase in found["phase"].values if phase != "idle"]
        idle = float(found["energy"].sel(phase="idle").sum())
        total = self.energy_per_query(by, busy)
        return draw(axes, plots.plot_energy, found.sel(phase=busy), total, idle=idle)

    def plot_latency(self, axes: Axes | None = None) -> Axes:
        """Plot the distribution of latency."""
        return draw(axes, plots.plot_latency, self.latency_distribution(), quantiles=self.latency((0.5, 0.99)))

    def plot_freezing(
        self, by: str = "snapshot", names: Sequence[str] = ("plasticity", "saturated_fraction"),
        axes: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """Plot quantities of freezing over the stream."""
        return draw(axes, plots.plot_freezing, self.freezing(by, names))

    def plot_occupancy(self, layer: int = 0, axes: Axes | None = None) -> Axes:
        """Plot the share of cells at each level over the stream."""
        return draw(axes, plots.plot_occupancy, self.occupancy(layer))

    def plot_synapse_map(
        self, name: str = "plasticity", layer: int = 0, snapshot: int = -1, axes: Axes | None = None
    ) -> Axes:
        """Plot a recorded variable of every synapse of a layer at one snapshot; `SchemaError` if it has none such."""
        group = self._layer(layer)
        if name not in group:
            raise SchemaError(f"layer_{layer}, {name!r}: not recorded. {did_you_mean(name, map(str, group))}")
        values = group[name].isel(snapshot=snapshot)
        return draw(axes, plots.plot_synapse_map, values.isel(device=0) if "device" in values.dims else values)

    def plot_reliability(self, axes: Axes | None = None) -> Axes:
        """Plot accuracy against the share of weight samples that agree with the prediction."""
        return draw(axes, plots.plot_reliability, self.reliability())

    def plot_sigmoid(self, axes: Axes | None = None) -> Axes:
        """Plot the probability of +1 of the run's sampling element over lam; see `bimu_hw.analysis.plot_sigmoid`."""
        return plot_sigmoid(self._card("sampler"), axes, self.scenario["seeds"]["fabrication"])

    def plot_pulse_response(self, quantity: str = "level", axes: Axes | None = None) -> Axes:
        """Plot potentiation and depression of the run's store; see `bimu_hw.analysis.plot_pulse_response`."""
        return plot_pulse_response(self._card("storage"), quantity, axes, self.scenario["seeds"]["fabrication"])

    def plot_ir_drop(
        self, query: int = 0, layer: int = 0, tile: tuple[int, int] = (0, 0), axes: Axes | None = None
    ) -> Axes:
        """Plot what the wires of the component card take from each cell of a tile while a query is read.

        Of the first Monte Carlo sample and the plane that drives the most. The weights of that moment are not in the
        record: the scenario is run again up to the query, so a late query takes as long as the run did.

        Parameters
        ----------
        query, layer : int
            In order of service; from 0.
        tile : tuple of int
            Along the word lines and along the bit lines.
        axes : Axes, optional

        Raises
        ------
        RunError
            If there is no such query, layer or tile, or the run cannot be repeated.
        """
        from bimu_hw.spice.check import solve, wires_of
        from bimu_hw.spice.replay import Selection, capture_read

        read = capture_read(self._file(), Selection(layer, query, tile))
        wires = wires_of(read.scenario, from_card=True)
        circuits = (read.circuit(plane, wires) for plane in range(read.n_planes))
        circuit = max(circuits, key=lambda c: float(np.abs(c.voltages).sum()))
        return plot_ir_drop(circuit.conductance, circuit.voltages, solve(circuit), axes)

    def _card(self, role: str) -> Card:
        return rebuilt_card(self._tree.attrs, self._file(), role)

    def _file(self) -> Path:
        if "source" not in self._tree.encoding:
            raise SchemaError("bimu: this tree was not read from a file; open a run with bimu_hw.open_run.")
        return Path(self._tree.encoding["source"])

    def _states(self) -> list[str]:
        if not self.layers:
            raise SchemaError("bimu: this run recorded no states; run it with record.state = true.")
        return self.layers

    def _layer(self, layer: int) -> xr.Dataset:
        names = self._states()
        if not -len(names) <= layer < len(names):
            raise ScenarioError(f"layer {layer}: allowed are 0 to {len(names) - 1}.")
        return self._group(names[layer])


@xr.register_dataset_accessor("bimu")
class DatasetAnalysis:
    """Analysis of one group of a record, or of the results of a sweep.

    Parameters
    ----------
    dataset : xarray.Dataset
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def freezing(
        self, names: Sequence[str] = freezing.FROM_LAM, grid: freezing.LevelGrid | None = None, threshold: float = 2.5
    ) -> xr.Dataset:
        """Return how frozen this layer (a group ``/layer_k``) is at every snapshot."""
        return freezing.freezing_over_snapshots(self._dataset, names, grid, threshold)

    def occupancy(self, n_levels: int) -> xr.DataArray:
        """Return the share of cells of this layer at each level, [snapshot, level]."""
        return freezing.occupancy_over_snapshots(self._dataset, n_levels)

    def continual_learning(self, k: int = 5) -> xr.Dataset:
        """Return the numbers of continual learning of the group ``/tasks``."""
        return learning.continual_learning(self._variable("accuracy"), k)

    def latency(self, quantiles: Sequence[float] = latency.QUANTILES) -> xr.DataArray:
        """Return quantiles of latency of the group ``/queries``."""
        return latency.latency_quantiles(
            self._variable("latency").values, quantiles, self._variable("n_aggregated").values
        )

    def energy(self, by: str | Sequence[str] = "component", phases: str | Sequence[str] = "all") -> xr.Dataset:
        """Return the energy of the group ``/ledger`` by any grouping, with its interval."""
        self._variable("count")
        return energy.energy_by(self._dataset, by, phases)

    def pareto(self, **senses: str) -> xr.DataArray:
        """Return which results no other beats: ``ds.bimu.pareto(energy="min", accuracy="max")``."""
        return pareto(self._dataset, senses)

    def paired_difference(
        self, name: str, a: Mapping[str, Any], b: Mapping[str, Any], dim: str = "seed", level: float = 0.95,
        n_boot: int = N_BOOT,
    ) -> xr.Dataset:  # fmt: skip
        """Return the mean difference of a result between two places of a sweep, seed against seed.

        Parameters
        ----------
        name : str
            A variable.
        a, b : mapping
            Coordinates of the two: ``{"write_noise": 0.3}``.
        dim, level, n_boot
            As in `paired_difference`.
        """
        variable = self._variable(name)
        first, second = (variable.sel(place).drop_vars(list(place)) for place in (a, b))
        return paired_difference(first, second, dim, level, n_boot)

    def to_latex(self, caption: str = "", label: str = "", digits: int = 3) -> str:
        """Return the variables as a LaTeX table for booktabs."""
        return to_latex(self._dataset, caption, label, digits)

    def _variable(self, name: str) -> xr.DataArray:
        if name not in self._dataset:
            raise SchemaError(f"bimu, {name!r}: not in this dataset. {did_you_mean(name, map(str, self._dataset))}")
        return self._dataset[name]
