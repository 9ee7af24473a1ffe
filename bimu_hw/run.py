"""One scenario, one run: build the chip, let the stream pass through the accelerator, write what happened.

The folder of a run holds ``run.nc`` (everything recorded), ``summary.json``, ``scenario.json`` (every value that
had an effect) and figures. Files appear at the end, each under its final name only when it is complete.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import binding
from tqdm import tqdm

from bimu_hw import __version__
from bimu_hw.accelerator.arrivals import Arrivals, oracle_latency
from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.accelerator.engine import Accelerator, AcceleratorSpec, QueryRow
from bimu_hw.accelerator.plan import RESOURCES, WorkPlan
from bimu_hw.cards import Card
from bimu_hw.crossbar.calibration import CALIBRATION_EXAMPLES, calibrate
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.encoding import InputEncoder, driver_bow
from bimu_hw.crossbar.readout import ArraySpec, Wires
from bimu_hw.crossbar.synapses import Seeds, SynapseSpec
from bimu_hw.errors import RunError
from bimu_hw.kernels.network import query_uncertainty
from bimu_hw.learning.data import load_dataset
from bimu_hw.learning.rules import RULES
from bimu_hw.learning.streams import TaskStream
from bimu_hw.ledger import CostTable
from bimu_hw.operations import COMPONENTS
from bimu_hw.record import RUN_FILE, ResourceUse, RunRecorder, write_run
from bimu_hw.report.summary import summarise
from bimu_hw.scaling import scale_adc, scale_dac, scale_lines
from bimu_hw.scenario import Scenario

#: Noise keys of evaluations start here, out of reach of any query's.
_EVALUATION_EVENTS = 1 << 48
_FILES = (RUN_FILE, "summary.json", "scenario.json", "accuracy.png", "energy.png", "freezing.png")


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes
    ----------
    path : Path
        Its folder.
    summary : dict
        What ``summary.json`` holds.
    """

    path: Path
    summary: dict[str, Any]


def run_scenario(scenario: Scenario, out: str | Path, *, overwrite: bool = False, progress: bool = True) -> RunResult:
    """Run a scenario and write its record, summary and figures.

    Parameters
    ----------
    scenario : Scenario
    out : str or Path
        Folder of the run; made if it does not exist.
    overwrite : bool
        Replace the files of another run in that folder.
    progress : bool
        Show a progress bar.

    Returns
    -------
    RunResult

    Raises
    ------
    RunError
        If the folder holds another run or is a file, or the disk is full.
    DataError
        If the data set is missing or damaged.
    """
    with _run_folder(Path(out), overwrite) as folder:
        run = Run(scenario, folder, progress=progress)
        run.accelerator.run()
        tree = run.finish()
        summary = summarise(tree, run.facts())
        from bimu_hw.report.figures import draw_run

        write_run(tree, folder / RUN_FILE)
        _write_json(folder / "scenario.json", scenario.resolved())
        _write_json(folder / "summary.json", summary)
        draw_run(tree, folder)
    return RunResult(Path(out), summary)


@contextmanager
def _run_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Check the folder, hand out a hidden folder inside it, and move its files into place when all went well."""
    if out.is_file():
        raise RunError(f"{out}: is a file; name a folder for the run.")
    if not overwrite and any((out / name).exists() for name in _FILES):
        raise RunError(f"{out}: holds another run; choose another folder or pass --overwrite.")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".run-", dir=out))
    except OSError as error:
        raise RunError(f"{out}: cannot be made ({error.strerror}); choose another folder.") from error
    try:
        yield work
        written = {path.name for path in work.iterdir()}
        for path in sorted(work.iterdir()):
            os.replace(path, out / path.name)
        for name in set(_FILES) - written:
            (out / name).unlink(missing_ok=True)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return JSON-able content: NaN, which JSON lacks, becomes null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Run:
    """A scenario brought to life: stream, chip, accelerator, and the record that watches them.

    Parameters
    ----------
    scenario : Scenario
    folder : Path
        For temporary files of the record.
    progress : bool

    Attributes
    ----------
    chip : Chip
    stream : TaskStream
    accelerator : Accelerator
    """

    def __init__(self, scenario: Scenario, folder: Path | None = None, *, progress: bool = False) -> None:
        self.scenario = scenario
        s = scenario
        self.stream = TaskStream(
            load_dataset(s.dataset), kind=s.stream.kind, tasks=s.stream.tasks, epochs=s.stream.epochs,
            examples=s.stream.examples, seed=s.seeds.data, inputs=s.stream.inputs, label_noise=s.stream.label_noise,
        )  # fmt: skip
        self.n_examples = self.stream.n_examples
        self._encoder = InputEncoder(
            self.stream.n_in, s.crossbar.inputs, self.stream.n_bits, s.crossbar.input_bits,
            (float(self.stream.data.x_train.min()), float(self.stream.data.x_train.max())), s.crossbar.dac_bits,
            driver_bow(self.stream.n_in, s.component_card.costs["dac_inl"].value, s.seeds.fabrication),
        )  # fmt: skip
        self._affine = self.stream.affine("train")
        self.chip = build_chip(scenario, self.stream.n_in, self.stream.n_classes)
        self.components = components_in_use(s)
        self.rule = RULES[s.learning.rule](**s.rule_parameters)
        self.plan = WorkPlan(
            self.chip, self.components, s.storage_card, s.sampler_card,
            input_slots=self._encoder.slots(self._affine.offset, self._affine.scale),
            input_bits=self._encoder.bits or self.stream.n_bits or 32,
            columns_per_adc=s.crossbar.columns_per_adc, rule_operations=self.rule.operations,
            relaxed=s.learning.gradient == "relaxed", rule_memory_bits=self.rule.memory_bits,
        )  # fmt: skip
        for synapses in self.chip.layers:
            synapses.keep_requests = s.record.state
            synapses.look_interval = to_seconds(self.plan.look_ticks(s.device.holds))
        calibration = (self._encode(self.stream.example(i)[0], self._affine) for i in range(self.n_examples))
        calibrate(self.chip, islice(calibration, CALIBRATION_EXAMPLES), s.crossbar.adc_range == "calibrated")
        self.costs = CostTable.from_cards(
            {"component": self.components, "storage": s.storage_card, "sampler": s.sampler_card}
        )
        self.recorder = RunRecorder(
            [synapses.shape for synapses in self.chip.layers], self.chip.layers[0].storage, self.stream.n_tasks,
            COMPONENTS, s.record.per_query_limit, self.n_examples, s.record.state, folder=folder,
        )  # fmt: skip
        spec = AcceleratorSpec(
            Arrivals(s.accelerator.arrivals, s.accelerator.rate or 0.0, s.seeds.data), s.accelerator.queue,
            oracle_latency(s.labels.latency), s.accelerator.power_gating, s.learning.gradient,
        )  # fmt: skip
        self.accelerator = Accelerator(
            self.chip, self.plan, self, s.label_policy(), self.rule, spec, self.costs, s.seeds.noise, self
        )
        n = self.stream.n_tasks
        self.accuracy = np.full((n, n), np.nan)
        self._open_task = 0
        self._latency = LatencyHistogram()
        self._next_snapshot = 0
        self._bar = tqdm(total=self.n_examples, unit=" examples", disable=not progress, mininterval=0.5, leave=False)

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        """Return one example as the chip receives it, its true label, the oracle's answer and its task."""
        codes, answer = self.stream.example(index)
        true = self.stream.true_label(index)
        return self._encode(codes, self._affine), int(true), int(answer), int(self.stream.task_of(index))

    def _encode(self, codes: npt.NDArray[np.generic], affine: Any) -> Encoded:
        slots = self._encoder.slots(affine.offset, affine.scale) if self._encoder.mode == "pulse_width" else None
        return Encoded(*self._encoder.encode(codes, affine.offset, affine.scale), slots)

    def before_query(self, index: int, tick: int) -> None:
        """Evaluate at the end of a task, take snapshots when they are due; nothing here changes the run."""
        task = int(self.stream.task_of(index))
        self._end_tasks_before(task)
        self._snapshot_if_due(index, tick, task)
        if index >= self._bar.n:
            self._bar.update(index + 1 - self._bar.n)

    def answered(self, row: QueryRow) -> None:
        """Record a query when its prediction is ready."""
        self._latency.add(row.finish_tick - row.arrival_tick)
        row.number = self.recorder.query(
            row.example, row.task, row.arrival_tick, row.start_tick, row.finish_tick, row.prediction, row.label,
            row.asked, row.disagreement, row.aleatoric, row.epistemic, row.predictive, row.energy,
        )  # fmt: skip

    def learned(self, row: QueryRow) -> None:
        """Record what a query's label brought."""
        self.recorder.learned(row.number, row.label_tick, row.updated, row.pulses, row.energy)

    def _end_tasks_before(self, task: int) -> None:
        """Evaluate the newest tasks at the end of every task before `task`."""
        while self._open_task < task:
            newest = max(0, self._open_task + 1 - self.scenario.evaluation.newest)
            self._evaluate(self._open_task, list(range(newest, self._open_task + 1)))
            self._open_task += 1

    def _snapshot_if_due(self, index: int, tick: int, task: int) -> None:
        every = self.scenario.record.snapshots
        if index < self._next_snapshot:
            return
        self._snapshot(index, tick, task)
        if every == "task":
            last = task + 1 == self.stream.n_tasks
            self._next_snapshot = self.n_examples if last else self.stream.task_start(task + 1)
        else:
            self._next_snapshot = (index // every + 1) * every if every else self.n_examples

    def _snapshot(self, index: int, tick: int, task: int) -> None:
        if self.scenario.record.state:
            for k, synapses in enumerate(self.chip.layers):
                self.recorder.snapshot(k, index, tick, task, synapses.snapshot(to_seconds(tick)))

    def _evaluate(self, trained: int, tasks: list[int]) -> None:
        """Measure the test accuracy of some tasks: no simulated time, no energy, noise of its own."""
        options = self.scenario.evaluation
        affine = self.stream.affine("test")
        now = to_seconds(self.accelerator.duration_ticks)
        fresh = True
        event = _EVALUATION_EVENTS + (trained << 40)
        for task in tasks:
            codes, labels = self.stream.test_codes(task)
            n = min(options.examples or len(labels), len(labels))
            right = 0
            for i in range(n):
                per_query = options.networks == "per_query"
                logits = self.chip.infer(
                    # Held networks, and yet every image has noise of its own in the converters.
                    self._encode(codes[i], affine), event + (0 if fresh and not per_query else task * len(labels) + i),
                    now,
                    fresh=fresh or per_query, probe=True,
                )  # fmt: skip
                fresh = False
                right += query_uncertainty(logits)[4] == int(labels[i])
            self.accuracy[trained, task] = right / n

    def finish(self) -> Any:
        """Evaluate all tasks once more, take the last snapshot and return the record."""
        tick = self.accelerator.duration_ticks
        last = self.stream.n_tasks - 1
        self._end_tasks_before(last)
        self._evaluate(last, list(range(self.stream.n_tasks)))
        self._snapshot(self.n_examples, tick, last)
        self._bar.close()
        a = self.accelerator
        use = ResourceUse(
            names=RESOURCES, events=[a.usage[r].events for r in RESOURCES],
            busy_ticks=[a.usage[r].busy_ticks for r in RESOURCES], capacity=[1] * len(RESOURCES),
            event_count=a.event_count, duration_ticks=a.duration_ticks, queries_dropped=a.dropped,
        )  # fmt: skip
        return self.recorder.finish(
            a.ledger.counts, a.ledger.array_joules, self.costs, use, self.accuracy,
            {**provenance(self.scenario), "dataset": self.stream.data.name, "dataset_sha256": self.stream.data.sha256},
        )

    def facts(self) -> dict[str, Any]:
        """Return what the summary needs and the record does not hold."""
        costs = self.scenario.sampler_card.costs
        kinds = {costs[name].kind for name in ("g_on", "g_off", "read_voltage", "read_time")}
        if self.scenario.crossbar.ir_drop == "exact":
            kinds |= {self.scenario.component_card.costs[name].kind for name in Wires._fields}
        array_kind = "assumed" if "assumed" in kinds else "derived"
        return {
            "title": self.scenario.title,
            "area_m2": {"total": sum(self.plan.area.values()), **self.plan.area},
            "latency_s": {name: to_seconds(self._latency.quantile(q)) for name, q in (("p50", 0.5), ("p99", 0.99))},
            "assumed_energy_fraction": self.accelerator.ledger.assumed_share(self.costs, array_kind),
        }


class LatencyHistogram:
    """Latencies of any number of queries in bounded memory; quantiles are right to a thousandth."""

    _PER_FACTOR = 1000.0  # bins per factor e

    def __init__(self) -> None:
        # The last bin holds e**44 ticks, some 150 days.
        self._counts = np.zeros(44_000, np.int64)

    def add(self, ticks: int) -> None:
        """Count one latency."""
        self._counts[min(round(math.log1p(ticks) * self._PER_FACTOR), len(self._counts) - 1)] += 1

    def quantile(self, q: float) -> int:
        """Return the latency in ticks that a fraction `q` of the queries does not exceed; 0 without queries."""
        total = int(self._counts.sum())
        if total == 0:
            return 0
        index = int(np.searchsorted(np.cumsum(self._counts), math.ceil(q * total)))
        return round(math.expm1(index / self._PER_FACTOR))


def build_chip(scenario: Scenario, n_in: int, n_classes: int) -> Chip:
    """Build the chip that a scenario describes, for inputs and classes of a data set."""
    s = scenario
    arrays = ArraySpec(
        s.crossbar.tile_wordlines, s.crossbar.tile_bitlines, s.crossbar.columns, s.crossbar.inputs,
        s.crossbar.adc_bits, s.crossbar.adc_range if isinstance(s.crossbar.adc_range, float) else 1.0,
        s.crossbar.gradient_bits, s.accelerator.write_columns, *_converter_errors(s), s.crossbar.partial_sum_bits,
        _wires(s), s.crossbar.compensation,
    )  # fmt: skip
    synapses = SynapseSpec(
        s.storage_card, s.sampler_card, s.device.programming, s.device.residue_bits, s.device.lam_max,
        s.device.holds, s.crossbar.columns,
    )  # fmt: skip
    seeds = Seeds(s.seeds.fabrication, s.seeds.noise, s.seeds.data)
    return Chip(
        [n_in, *s.network.hidden, n_classes], arrays, synapses, seeds, s.network.samples, s.network.activation,
        s.network.initial_lam, s.run.threads, s.device.temperature,
    )  # fmt: skip


def _converter_errors(scenario: Scenario) -> tuple[float, float, float]:
    """Return offset, gain error and noise of the converters in use; the step of a sense amplifier is its full scale."""
    costs, bits = scenario.component_card.costs, scenario.crossbar.adc_bits
    if bits < 2:
        return (costs["sense_offset"].value if bits else 0.0), 0.0, 0.0
    return costs["adc_offset"].value, costs["adc_gain_error"].value, costs["adc_noise"].value


def _wires(scenario: Scenario) -> Wires | None:
    if scenario.crossbar.ir_drop == "none":
        return None
    return Wires(*(scenario.component_card.costs[name].value for name in Wires._fields))


def components_in_use(scenario: Scenario) -> Card:
    """Return the component card at the resolution and kind of the scenario's converters and the length of its lines."""
    crossbar = scenario.crossbar
    cells = crossbar.tile_bitlines * (2 if crossbar.columns == "differential" else 1)
    card = scale_dac(scale_adc(scenario.component_card, crossbar.adc_bits, crossbar.adc), crossbar.dac_bits)
    return scale_lines(card, cells)


def provenance(scenario: Scenario) -> dict[str, Any]:
    """Return the attributes that let a reader repeat a run: seeds, versions, processor, hashes, the whole scenario."""
    features = binding.get_host_cpu_features()
    return {
        "title": scenario.title,
        "bimu_hw_version": __version__,
        "seed_fabrication": scenario.seeds.fabrication,
        "seed_noise": scenario.seeds.noise,
        "seed_data": scenario.seeds.data,
        "scenario_hash": scenario.hash,
        "resolved_scenario": json.dumps(scenario.resolved(), sort_keys=True),
        "storage_card_hash": scenario.storage_card.digest,
        "sampler_card_hash": scenario.sampler_card.digest,
        "component_card_hash": scenario.component_card.digest,
        "cpu_name": binding.get_host_cpu_name(),
        "cpu_features": json.dumps(sorted(name for name, has in features.items() if has)),
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "numba_version": numba.__version__,
    }
