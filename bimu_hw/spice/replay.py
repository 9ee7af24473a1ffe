"""The array of one query, found by running the scenario again up to it.

A record has no weights that were drawn: they are a function of the state at that moment and of the query's index, so
the run is repeated, without evaluations and without a record, until the query is reached. What the repetition computes
on the way is held against the record, query by query.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.engine import QueryRow
from bimu_hw.cards import read_conductances
from bimu_hw.crossbar.layout import TileLayout
from bimu_hw.errors import RunError
from bimu_hw.record import RUN_FILE, open_run
from bimu_hw.run import Run
from bimu_hw.scenario import Scenario
from bimu_hw.scenario.recorded import scenario_from_attrs
from bimu_hw.spice.netlist import Circuit, Wires

#: What a row of the record that stands for one query must agree in, and one that stands for several.
_SINGLE = (
    "example", "task", "start_tick", "finish_tick", "prediction", "label", "asked", "disagreement", "aleatoric",
    "epistemic", "predictive",
)  # fmt: skip
_BLOCK = ("finish_tick", "correct", "asked", "disagreement")
_LEARNED = ("label_tick", "updated", "pulses")
_SUMMED = ("correct", "asked", "disagreement")


@dataclass(frozen=True)
class Selection:
    """One read of one tile.

    Attributes
    ----------
    layer : int
    query : int
        In order of service, from 0.
    tile : tuple of int
        Along the word lines and along the bit lines.
    sample : int
        Monte Carlo sample.
    backward : bool
        The backward read of the query's update instead of the forward read of its inference.
    """

    layer: int = 0
    query: int = 0
    tile: tuple[int, int] = (0, 0)
    sample: int = 0
    backward: bool = False


@dataclass(frozen=True, eq=False)
class CapturedRead:
    """What drove a layer in one sample of a query, and what its cells held.

    Attributes
    ----------
    scenario : Scenario
    selection : Selection
    example, task, tick : int
        Index of the query's example in the stream, its task, and the start of its service in picoseconds.
    planes : float32[plane, wordline], or [plane, bitline] of a backward read
        In units of the read voltage.
    weights : int8[1 or plane, wordline, bitline]
    g_on, g_off : float64[wordline, bitline, device]
        What each device conducts in its two states, in siemens.
    layout : TileLayout
    """

    scenario: Scenario
    selection: Selection
    example: int
    task: int
    tick: int
    planes: npt.NDArray[np.float32]
    weights: npt.NDArray[np.int8]
    g_on: npt.NDArray[np.float64]
    g_off: npt.NDArray[np.float64]
    layout: TileLayout

    @property
    def n_planes(self) -> int:
        """Number of planes of the read."""
        return len(self.planes)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Synapses of the tile, along its word lines and its bit lines; a tile at the edge may be smaller."""
        m, n = (len(range(n)[part]) for n, part in zip(self.weights.shape[1:], self._parts(), strict=True))
        return m, n

    def _parts(self) -> tuple[slice, slice]:
        i, j = self.selection.tile
        m, n = self.scenario.crossbar.tile_wordlines, self.scenario.crossbar.tile_bitlines
        return slice(i * m, (i + 1) * m), slice(j * n, (j + 1) * n)

    def circuit(self, plane: int, wires: Wires) -> Circuit:
        """Return the physical array of the tile and the voltages of a plane."""
        part, backward = self._parts(), self.selection.backward
        weights = self.weights[plane if len(self.weights) > 1 else 0][part]
        cells = self.layout.conductance(weights, self.g_on[part], self.g_off[part])
        volts = self.layout.voltages(self.planes[plane][part[backward]], backward)
        read_voltage = self.scenario.sampler_card.costs["read_voltage"].value
        return Circuit.of(cells, read_voltage * volts, wires, backward)


def capture_read(
    path: str | Path, selection: Selection, *, plane: int | None = None, folder: Path | None = None,
    progress: bool = False,
) -> CapturedRead:  # fmt: skip
    """Run the scenario of a record again up to a query and return what a read of it saw.

    Parameters
    ----------
    path : str or Path
        The run's folder, or its ``run.nc``.
    selection : Selection
    plane : int, optional
        Checked as soon as the number of planes is known.
    folder : Path, optional
        Folder of the scenario, for a data set given as a file.
    progress : bool
        Show a progress bar.

    Raises
    ------
    RunError
        If there is no such run, its scenario cannot be rebuilt, the selection is out of range, or the repetition
        departs from the record.
    SchemaError, DataError
        As `open_run` and `load_dataset`.
    """
    file = Path(path) / RUN_FILE if Path(path).is_dir() else Path(path)
    with open_run(path) as tree:
        queries = tree["queries"].to_dataset()
        names = {*_SINGLE, *_BLOCK, *_LEARNED, "n_aggregated"} & set(map(str, queries.variables))
        rows = {name: queries[name].values for name in names}
        attrs = {str(name): value for name, value in tree.attrs.items()}
    scenario = scenario_from_attrs(attrs, file, folder)
    n = int(rows["n_aggregated"].sum())
    if not 0 <= selection.query < n:
        raise RunError(f"{file}: query: got {selection.query}; {_allowed(n)}.")
    replay = _Replay(scenario, file, attrs, rows, selection, plane, progress)
    try:
        replay.accelerator.run()
    except _Reached:
        pass
    finally:
        replay.close()
    if replay.captured is None:
        raise RunError(f"{file}: query {selection.query} was not reached again; the run is not the one recorded.")
    return replay.captured


class _Reached(Exception):
    """The read has been captured; nothing else of the run is needed."""


class _Replay(Run):
    """A run that records nothing, compares itself with a record and stops at one read."""

    def __init__(
        self, scenario: Scenario, file: Path, attrs: dict[str, Any], rows: dict[str, Any], selection: Selection,
        plane: int | None, progress: bool,
    ) -> None:  # fmt: skip
        super().__init__(scenario, progress=progress)
        self.captured: CapturedRead | None = None
        self._file, self._attrs, self._rows = file, attrs, rows
        self._selection, self._plane = selection, plane
        self._per_row = int(attrs["queries_per_row"])
        self._sums = dict.fromkeys(_SUMMED, 0)
        self._answered = 0
        self._bar = self._open_bar(selection.query + 1)
        if self.stream.data.sha256 != attrs.get("dataset_sha256"):
            raise RunError(f"{file}: the data set {scenario.stream.dataset!r} has changed since the run was written.")
        self._check_selection()

    def close(self) -> None:
        """Take the progress bar away."""
        self._bar.close()

    def _check_selection(self) -> None:
        chosen, layers = self._selection, self.chip.layers
        self._check("layer", chosen.layer, len(layers))
        for name, i, n in zip(
            ("tile, along the word lines", "tile, along the bit lines"), chosen.tile,
            self.chip.arrays.tiles(layers[chosen.layer].shape), strict=True,
        ):  # fmt: skip
            self._check(name, i, n)
        self._check("sample", chosen.sample, self.chip.n_sample)
        if not chosen.backward:
            if self.scenario.learning.gradient == "relaxed" and self.scenario.labels.policy == "given":
                raise RunError(
                    f"{self._file}: learned with the relaxed gradient and given labels, so no binary weights were read."
                )
            return
        if chosen.layer == 0:
            raise RunError(f"{self._file}: layer 0 is not read backwards: nothing lies before it; choose a later one.")
        if self.scenario.learning.gradient != "hard":
            raise RunError(f"{self._file}: learned with the relaxed gradient, which reads no array backwards.")
        if self._per_row == 1 and self._rows["label_tick"][chosen.query] < 0:
            learned = np.flatnonzero(self._rows["label_tick"] >= 0)
            self._refuse_backward(int(learned[np.abs(learned - chosen.query).argmin()]) if len(learned) else None)

    def _refuse_backward(self, near: int | None = None) -> None:
        hint = "" if near is None else f"; the nearest that was is query {near}"
        raise RunError(f"{self._file}: query {self._selection.query} was not learned from, so nothing was read "
                       f"backwards{hint}.")  # fmt: skip

    def _check(self, what: str, given: int, n: int) -> None:
        if not 0 <= given < n:
            raise RunError(f"{self._file}: {what}: got {given}; {_allowed(n)}.")

    def between_jobs(self) -> None:
        """Keep nothing: a repetition is not taken up again."""

    def before_query(self, index: int, tick: int) -> None:
        """Move the progress bar."""
        self._bar.update(1)

    def answered(self, row: QueryRow) -> None:
        """Compare a query with the record, and capture its forward read if it is the one."""
        row.number, self._answered = self._answered, self._answered + 1
        self._compare_answer(row)
        if not self._selection.backward:
            self._look(row)
        elif row.number == self._selection.query and not row.asked and row.label_tick < 0:
            self._refuse_backward()

    def learned(self, row: QueryRow) -> None:
        """Compare an update with the record, and capture its backward read if it is the one."""
        if self._per_row == 1:
            self._agree(_LEARNED, vars(row), row.number, row.number)
        if self._selection.backward:
            self._look(row)

    def _look(self, row: QueryRow) -> None:
        """Look at the arrays as the last read left them; stop if it is the one that was asked for."""
        chosen = self._selection
        # Nobody but a replay wants the weights of one query, so the chip has no door to them.
        layer = self.chip._layers[chosen.layer]
        planes, weights = (
            (layer.backward_planes, layer.backward_weights) if chosen.backward else (layer.planes, layer.weights)
        )
        if self._plane is not None:
            self._check("plane", self._plane, planes.shape[1])
        if row.number != chosen.query:
            return
        looks = len(weights) // self.chip.n_sample
        synapses = layer.synapses
        self.captured = CapturedRead(
            self.scenario, chosen, row.example, row.task, row.start_tick,
            planes[chosen.sample if len(planes) > 1 else 0].copy(),
            weights[chosen.sample * looks : (chosen.sample + 1) * looks].copy(),
            *synapses.cells_read.conductances(),
            TileLayout(synapses.spec.columns, *read_conductances(synapses.spec.sampler)),
        )  # fmt: skip
        raise _Reached

    def _compare_answer(self, row: QueryRow) -> None:
        number = row.number
        found = {**vars(row), "correct": int(row.prediction == row.label)}
        if self._per_row == 1:
            self._agree(_SINGLE, found, number, number)
            return
        for name in _SUMMED:
            self._sums[name] += int(found[name])
        if (number + 1) % self._per_row == 0:
            self._agree(_BLOCK, {**self._sums, "finish_tick": row.finish_tick}, number // self._per_row, number)
            self._sums = dict.fromkeys(_SUMMED, 0)

    def _agree(self, names: tuple[str, ...], found: dict[str, Any], at: int, number: int) -> None:
        for name in names:
            recorded = self._rows[name][at]
            if recorded.dtype.type(found[name]) != recorded:
                raise RunError(
                    f"{self._file}: cannot be repeated here: query {number} has {name} = {found[name]:g}, the record "
                    f"{recorded:g}; it was written by bimu-hw {self._attrs.get('bimu_hw_version')} on "
                    f"{self._attrs.get('cpu_name')}, and float32 sums depend on both."
                )


def _allowed(n: int) -> str:
    return "there is none" if n == 0 else "allowed is only 0" if n == 1 else f"allowed are 0 to {n - 1}"
