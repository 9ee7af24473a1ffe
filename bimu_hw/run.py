"""One scenario, one run: build the chip, let the stream pass through the accelerator, write what happened.

The folder of a run holds ``run.nc`` (everything recorded), ``summary.json``, ``scenario.json`` (every value that
had an effect) and figures. Files appear at the end, each under its final name only when it is complete. Until then a
hidden folder has what it takes to go on after an interruption (`bimu_hw.run_folder`, `bimu_hw.checkpoint`).
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping
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
from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.accelerator.engine import Accelerator
from bimu_hw.accelerator.latency import LatencyHistogram
from bimu_hw.accelerator.plan import WorkPlan
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.checkpoint import Checkpoints, source_digest
from bimu_hw.costs import components_in_use, costs_of
from bimu_hw.crossbar.calibration import CALIBRATION_EXAMPLES, calibrate
from bimu_hw.crossbar.cells_read import as_read
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.encoding import InputEncoder, driver_bow
from bimu_hw.crossbar.readout import ArraySpec, Wires
from bimu_hw.crossbar.synapses import Seeds, SynapseSpec
from bimu_hw.devices import model_module
from bimu_hw.evaluation import Evaluation, evaluate_ood, score
from bimu_hw.freezing import FreezingLog
from bimu_hw.learning.data import load_dataset
from bimu_hw.learning.rules import RULES
from bimu_hw.learning.streams import TaskStream, ood_images
from bimu_hw.record import RUN_FILE, ResourceUse, RunRecorder, write_run
from bimu_hw.report.summary import summarise
from bimu_hw.run_folder import RunFolder
from bimu_hw.scenario import Scenario
from bimu_hw.scenario.accelerator import accelerator_spec, architecture_of, check_load
from bimu_hw.scenario.starts import initial_lam

#: Of a longer stream only the newest five tasks are evaluated after each task, if the scenario says nothing else.
_FEW_TASKS = 20


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes
    ----------
    path : Path
        Its folder.
    summary : dict
        What ``summary.json`` holds.
    scenario : Scenario or None
        What was run; None if all was computed by an earlier process.
    """

    path: Path
    summary: dict[str, Any]
    scenario: Scenario | None = None


def run_scenario(scenario: Scenario, out: str | Path, *, overwrite: bool = False, progress: bool = True) -> RunResult:
    """Run a scenario and write its record, summary and figures.

    Parameters
    ----------
    scenario : Scenario
    out : str or Path
        Folder of the run; made if it does not exist.
    overwrite : bool
        Replace the files of another run in that folder, finished or not.
    progress : bool
        Show a progress bar.

    Returns
    -------
    RunResult

    Raises
    ------
    RunError
        If the folder holds another run or is a file, another process runs there, or the disk is full.
    DataError
        If the data set is missing or damaged.
    """
    folder = RunFolder(out)
    with folder.begin(scenario, overwrite):
        return _complete(folder, scenario, progress, _say_nothing)


def resume_run(
    out: str | Path, *, progress: bool = True, tell: Callable[[str], None] | None = None
) -> RunResult:
    """Go on with a run that was interrupted or killed, to the same bits as if it had not been.

    Parameters
    ----------
    out : str or Path
        Folder of the run. A finished one is left as it is.
    progress : bool
        Show a progress bar.
    tell : callable, optional
        Is told, in a sentence, of a checkpoint that could not be used.

    Returns
    -------
    RunResult

    Raises
    ------
    RunError
        If there is nothing to resume, or what is there belongs to another scenario, version, machine or data set, or
        another process runs there.
    """
    folder = RunFolder(out)
    if folder.finished:
        return _published(folder)
    with folder.reopen() as scenario:
        if scenario is not None:
            return _complete(folder, scenario, progress, tell or _say_nothing)
        folder.publish()
    return _published(folder)


def _complete(folder: RunFolder, scenario: Scenario, progress: bool, tell: Callable[[str], None]) -> RunResult:
    """Run from the newest checkpoint, or the beginning, to the end."""
    run = Run(scenario, folder.work, progress=progress)
    run.resume(tell)
    run.accelerator.run()
    tree = run.finish()
    summary = summarise(tree)
    from bimu_hw.report.figures import draw_run

    with folder.assemble() as place:
        write_run(tree, place / RUN_FILE)
        _write_json(place / "scenario.json", scenario.resolved())
        _write_json(place / "summary.json", summary)
        draw_run(tree, place)
    folder.publish()
    return RunResult(folder.out, summary, scenario)


def _published(folder: RunFolder) -> RunResult:
    return RunResult(folder.out, json.loads((folder.out / "summary.json").read_text(encoding="utf-8")))


def _say_nothing(sentence: str) -> None:
    pass


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
    folder : Path, optional
        For checkpoints and what the record keeps on disk; without one the run cannot be resumed.
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
        self.stream = TaskStream(load_dataset(s.dataset), seed=s.seeds.data, **s.stream_options)
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
            rule_reads_lam=self.rule.reads_lam, rule_writes_memory=self.rule.writes_memory,
            architecture=architecture_of(s),
        )  # fmt: skip
        for synapses in self.chip.layers:
            synapses.keep_requests = s.record.state
            synapses.look_interval = to_seconds(self.plan.look_ticks(s.device.holds))
        calibration = (self._encode(self.stream.example(i)[0], self._affine) for i in range(self.n_examples))
        calibrate(self.chip, islice(calibration, CALIBRATION_EXAMPLES), s.crossbar.adc_range == "calibrated")
        self.costs = costs_of(scenario, self.plan.area)
        self.recorder = RunRecorder(
            [synapses.shape for synapses in self.chip.layers], self.chip.layers[0].storage, self.stream.n_tasks,
            s.record.per_query_limit, self.n_examples, s.record.state, folder=folder,
            resumable=folder is not None,
        )  # fmt: skip
        spec = accelerator_spec(s, self.stream.n_tasks, self.n_examples)
        check_load(s, self.plan, spec)
        self.accelerator = Accelerator(
            self.chip, self.plan, self, s.label_policy(), self.rule, spec, s.seeds.noise, self,
            timeline=s.record.timeline, next_look=self.next_look,
        )  # fmt: skip
        n = self.stream.n_tasks
        self.accuracy, self.calibration = (np.full((n, n), np.nan) for _ in range(2))
        self._ood = {str(name): ood_images(self.stream, place) for name, place in s.ood_sets.items()}
        self.freezing = FreezingLog(self.chip.layers, n)
        self._newest = s.evaluation.newest or (n if n <= _FEW_TASKS else 5)
        self._open_task = 0
        self._latency = LatencyHistogram()
        self._next_snapshot = 0
        every = s.record.snapshots
        n_snapshots = n if every == "task" else -(-self.n_examples // every) if every else 1
        # One is always taken at the end.
        self._snapshot_stride = -(-n_snapshots // (s.record.snapshot_limit - 1))
        self._checkpoints: Checkpoints | None = None
        if folder is not None:
            self._checkpoints = Checkpoints(folder, self._identity(), s.record.checkpoint_interval)
        self._progress = progress
        self._shown = 0
        self._bar: Any = None

    def _identity(self) -> dict[str, Any]:
        """Return what this run is: it ends with the same bits as another only if all of it is equal."""
        devices = (self.scenario.storage_card.model, self.scenario.sampler_card.model)
        return {**self._provenance(), "source_digest": source_digest(model_module(name) for name in devices)}

    def _provenance(self) -> dict[str, Any]:
        data = self.stream.data
        return {**provenance(self.scenario), "dataset": data.name, "dataset_sha256": data.sha256}

    def state(self) -> dict[str, Any]:
        """Return all that decides how the run goes on, for a checkpoint: numbers and arrays, not copied."""
        return {
            "accelerator": self.accelerator.state(), "recorder": self.recorder.state(),
            "freezing": self.freezing.state(), "accuracy": self.accuracy, "calibration": self.calibration,
            "latency": self._latency.counts, "open_task": self._open_task, "next_snapshot": self._next_snapshot,
            "shown": self._shown,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another run of the same scenario; raise `DamagedError` if its files are damaged."""
        self.recorder.restore(state["recorder"])
        self.accelerator.restore(state["accelerator"])
        self.freezing.restore(state["freezing"])
        self.accuracy, self.calibration = np.array(state["accuracy"]), np.array(state["calibration"])
        self._latency.restore(state["latency"])
        self._open_task, self._next_snapshot = state["open_task"], state["next_snapshot"]
        self._shown = state["shown"]

    def resume(self, tell: Callable[[str], None]) -> None:
        """Go on from the newest checkpoint in the run's folder, if there is one; see `Checkpoints.restore`."""
        if self._checkpoints is not None:
            self._checkpoints.restore(self.restore, tell)

    def between_jobs(self) -> None:
        """Write a checkpoint if it is time."""
        if self._checkpoints is not None:
            self._checkpoints.offer(self.state)

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        """Return one example as the chip receives it, its true label, the oracle's answer and its task."""
        stream = self.stream
        codes, answer = stream.example(index)
        return self._encode(codes, self._affine), stream.true_label(index), answer, stream.task_of(index)

    def examples(self, start: int, stop: int) -> list[tuple[Encoded, int, int, int]]:
        """Return what `example` returns for each of some consecutive examples."""
        shown = self.stream.examples(start, stop)
        numbers = shown.true_labels.tolist(), shown.labels.tolist(), shown.tasks.tolist()
        return list(zip(self._encode_each(shown.codes, self._affine), *numbers, strict=True))

    def _encode(self, codes: npt.NDArray[np.generic], affine: Any) -> Encoded:
        return Encoded(*self._encoder.encode(codes, affine.offset, affine.scale), self._slots(affine))

    def _encode_each(self, codes: npt.NDArray[np.generic], affine: Any) -> list[Encoded]:
        slots = self._slots(affine)
        return [Encoded(*one, slots) for one in self._encoder.encode_each(codes, affine.offset, affine.scale)]

    def _slots(self, affine: Any) -> tuple[int, ...] | None:
        return self._encoder.slots(affine.offset, affine.scale) if self._encoder.mode == "pulse_width" else None

    def before_query(self, index: int, tick: int) -> None:
        """Evaluate at the end of a task, take snapshots when they are due; nothing here changes the run."""
        task = self.stream.task_of(index)
        self._end_tasks_before(task)
        self._snapshot_if_due(index, tick, task)
        if self._bar is None:
            self._bar = self._open_bar(self.n_examples)
        # Inputs that were dropped count as done.
        self._bar.update(index + 1 - self._shown)
        self._shown = index + 1

    def next_look(self, index: int) -> int:
        """Return the first example after this one before which the chip is evaluated or written down.

        If a snapshot is due before this very example it is not taken yet, so when the next one is due is not known.
        """
        end = self.stream.task_start(self.stream.task_of(index) + 1)
        return min(end, self._next_snapshot) if index < self._next_snapshot else index + 1

    def _open_bar(self, total: int) -> Any:
        hidden = not self._progress
        return tqdm(total=total, initial=self._shown, unit=" examples", disable=hidden, mininterval=0.5, leave=False)

    def answered(self, row: QueryRow) -> None:
        """Record a query when its prediction is ready."""
        self._latency.add(row.finish_tick - row.arrival_tick)
        row.number = self.recorder.query(
            row.example, row.task, row.arrival_tick, row.start_tick, row.finish_tick, row.prediction, row.label,
            row.asked, row.disagreement, row.aleatoric, row.epistemic, row.predictive, row.spent,
        )  # fmt: skip

    def learned(self, row: QueryRow) -> None:
        """Record what a query's label brought."""
        self.recorder.learned(row.number, row.label_tick, row.updated, row.pulses, row.spent)

    def _end_tasks_before(self, task: int) -> None:
        """Evaluate the newest tasks, and see what is frozen, at the end of every task before `task`."""
        while self._open_task < task:
            newest = max(0, self._open_task + 1 - self._newest)
            self._evaluate(self._open_task, range(newest, self._open_task + 1))
            self.freezing.end_task(self._open_task)
            self._open_task += 1

    def _snapshot_if_due(self, index: int, tick: int, task: int) -> None:
        every = self.scenario.record.snapshots
        if index < self._next_snapshot:
            return
        self._snapshot(index, tick, task)
        stride = self._snapshot_stride
        if every == "task":
            due = (task // stride + 1) * stride
            self._next_snapshot = self.stream.task_start(min(due, self.stream.n_tasks))
        else:
            self._next_snapshot = (index // (every * stride) + 1) * every * stride if every else self.n_examples

    def _snapshot(self, index: int, tick: int, task: int) -> None:
        if self.scenario.record.state:
            self.chip.be_in_time()
            for k, synapses in enumerate(self.chip.layers):
                self.recorder.snapshot(k, index, tick, task, synapses.snapshot(to_seconds(tick)))

    def _evaluation(self, number: int) -> Evaluation:
        per_query = self.scenario.evaluation.networks == "per_query"
        return Evaluation(self.chip, self._encode_each, number, per_query, to_seconds(self.accelerator.duration_ticks))

    def _evaluate(self, trained: int, tasks: Iterable[int]) -> None:
        """Measure accuracy and calibration on the test sets of some tasks.

        At the end of a run that may take long, so it can be interrupted between two tasks; what is there is kept.
        """
        look = self._evaluation(trained)
        most = self.scenario.evaluation.examples
        for task in tasks:
            if not np.isnan(self.accuracy[trained, task]):
                continue
            if self.accelerator.ended:
                self.between_jobs()
            self.chip.use_task(task)
            codes, labels = self.stream.test_codes(task)
            n = min(most or len(labels), len(labels))
            # Tasks may have test sets of several sizes; no two images have the same number.
            logits = look.logits(codes[:n], self.stream.affine("test"), task * len(self.stream.data.y_test))
            self.accuracy[trained, task], self.calibration[trained, task] = score(logits, labels[:n])
        self.chip.use_task(None)

    def _evaluate_ood(self) -> dict[str, Any] | None:
        """Compare the newest test set with images that the stream never shows, if the scenario names any."""
        if not self._ood:
            return None
        look = self._evaluation(self.stream.n_tasks)
        self.chip.use_task(self.stream.n_tasks - 1)
        found = evaluate_ood(look, self.stream, self._ood, self.scenario.evaluation.examples)
        self.chip.use_task(None)
        return found

    def finish(self) -> Any:
        """Evaluate all tasks once more, take the last snapshot and return the record."""
        tick = self.accelerator.duration_ticks
        last = self.stream.n_tasks - 1
        self._end_tasks_before(last)
        self._evaluate(last, range(self.stream.n_tasks))
        self.freezing.end_task(last)
        ood = self._evaluate_ood()
        self._snapshot(self.n_examples, tick, last)
        if self._bar is not None:
            self._bar.close()
        a = self.accelerator
        use = ResourceUse(
            names=list(a.usage), events=[u.events for u in a.usage.values()],
            busy_ticks=[u.busy_ticks for u in a.usage.values()], capacity=[u.capacity for u in a.usage.values()],
            event_count=a.event_count, duration_ticks=a.duration_ticks, queries_dropped=a.dropped,
            latency_p50=to_seconds(self._latency.quantile(0.5)), latency_p99=to_seconds(self._latency.quantile(0.99)),
            macs=self.plan.macs, labels_stale=a.stale, wakes=a.wakes, in_system_ticks=a.in_system_ticks,
            sojourn_ticks=a.sojourn_ticks, asleep_ticks=a.asleep_ticks,
        )  # fmt: skip
        return self.recorder.finish(
            a.ledger.counts, a.ledger.array_joules, self.costs, use, self.accuracy, self.freezing.values,
            self._provenance(), calibration_error=self.calibration, ood=ood,
            timeline=a.timeline.columns() if a.timeline else None,
        )  # fmt: skip


def build_chip(scenario: Scenario, n_in: int, n_classes: int) -> Chip:
    """Build the chip that a scenario describes, for inputs and classes of a data set."""
    s = scenario
    arrays = ArraySpec(
        s.crossbar.tile_wordlines, s.crossbar.tile_bitlines, s.crossbar.columns, s.crossbar.inputs,
        s.crossbar.adc_bits, s.crossbar.adc_range if isinstance(s.crossbar.adc_range, float) else 1.0,
        s.crossbar.gradient_bits, s.accelerator.write_columns, *_converter_errors(s), s.crossbar.partial_sum_bits,
        _wires(s), s.crossbar.compensation, s.crossbar.accumulate,
    )  # fmt: skip
    synapses = SynapseSpec(
        s.storage_card, as_read(s.sampler_card, s.crossbar.accumulate), s.device.programming, s.device.residue_bits,
        s.device.lam_max, s.device.holds, s.crossbar.columns, RULES[s.learning.rule].weights,
    )  # fmt: skip
    seeds = Seeds(s.seeds.fabrication, s.seeds.noise, s.seeds.data)
    sizes = [n_in, *s.network.hidden, n_classes]
    return Chip(
        sizes, arrays, synapses, seeds, s.network.samples, s.network.activation, initial_lam(s, sizes), s.run.threads,
        s.device.temperature, s.network.normalisation, s.network.statistics_window,
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
