"""What simulating events costs: a run in time against its functional kernels alone, side by side.

[784, 100, 10], S = 5, ideal devices, random inputs. A learning run with Poisson arrivals at load 0.8 and labels that
come late does, per query, an inference and an update with its own forward pass; the kernels alone do the same calls one
after the other, without time, queue, account or record. Stretches of both take turns, so that what else the machine
does hits both. CPU time of the process, median of the stretches.

    python benchmarks/event_overhead.py [--queries 400] [--rounds 9] [--gradient relaxed]
"""

from __future__ import annotations

import argparse
import platform
import time
from statistics import median

import numpy as np
from llvmlite import binding

from bimu_hw.accelerator.architecture import Architecture
from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.engine import Accelerator
from bimu_hw.accelerator.oracle import LabelTimes
from bimu_hw.accelerator.plan import WorkPlan
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.accelerator.spec import AcceleratorSpec
from bimu_hw.cards import load_card, load_component_card
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.readout import ArraySpec
from bimu_hw.crossbar.synapses import Seeds, SynapseSpec
from bimu_hw.learning.policies import policy_from_spec
from bimu_hw.learning.rules import Bimu
from bimu_hw.record import RunRecorder

RULE = Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0)
LOAD = 0.8


class Examples:
    """Random examples, made beforehand: where inputs come from is not what is measured."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        rows = [rng.normal(size=784).astype(np.float32) for _ in range(64)]
        self._encoded = [Encoded(x[None, None, :], np.ones(1, np.float32), x[None, :]) for x in rows]
        self.n_examples = n

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        """Return an example and its label."""
        return self._encoded[index % 64], index % 10, index % 10, 0

    def examples(self, start: int, stop: int) -> list[tuple[Encoded, int, int, int]]:
        """Return consecutive examples."""
        return [self.example(index) for index in range(start, stop)]


class Recording:
    """Records every query, as a run does."""

    def __init__(self, chip: Chip, n: int) -> None:
        shapes = [synapses.shape for synapses in chip.layers]
        self._recorder = RunRecorder(shapes, chip.layers[0].storage, 1, 100_000, n, False)

    def between_jobs(self) -> None:
        """Do nothing: a checkpoint is due twice a minute."""

    def before_query(self, index: int, tick: int) -> None:
        """Do nothing."""

    def answered(self, row: QueryRow) -> None:
        """Record an answer."""
        row.number = self._recorder.query(
            row.example, row.task, row.arrival_tick, row.start_tick, row.finish_tick, row.prediction, row.label,
            row.asked, row.disagreement, row.aleatoric, row.epistemic, row.predictive, row.spent,
        )  # fmt: skip

    def learned(self, row: QueryRow) -> None:
        """Record an update."""
        self._recorder.learned(row.number, row.label_tick, row.updated, row.pulses, row.spent)


def make_chip() -> Chip:
    """Return an ideal chip of the published size."""
    arrays = ArraySpec(128, 128, "differential", "analog", 0, 1.0, 0, 32)
    devices = load_card("ideal_storage"), load_card("ideal_sampler")
    synapses = SynapseSpec(*devices, "deterministic", 0, 4.0, "query", "differential")
    return Chip([784, 100, 10], arrays, synapses, Seeds(1, 1, 1), 5)


def accelerator(n: int, learns: bool, pipeline: str, gradient: str) -> Accelerator:
    """Return an accelerator with Poisson arrivals at a load of 0.8."""
    chip = make_chip()
    devices = load_card("ideal_storage"), load_card("ideal_sampler")
    architecture = Architecture(pipeline, 4 if pipeline == "queries" else 1)
    plan = WorkPlan(
        chip, load_component_card("cmos_28nm"), *devices, input_slots=(1,), input_bits=8, columns_per_adc=8,
        rule_operations=RULE.operations, relaxed=gradient == "relaxed", architecture=architecture,
    )  # fmt: skip
    ticks = plan.least_ticks(2.0 if learns else 1.0, 1.0 if learns else 0.0)
    labels = LabelTimes(int(50 * ticks), "exponential", seed=1)
    spec = AcceleratorSpec(Arrivals("poisson", LOAD * 1e12 / ticks, 1), 4096, labels, True, gradient)
    policy = policy_from_spec("always" if learns else "never")
    return Accelerator(chip, plan, Examples(n), policy, RULE, spec, 1, Recording(chip, n))


def kernels(chip: Chip, examples: Examples, n: int, learns: bool, gradient: str) -> None:
    """Do what the run computes, and nothing else."""
    for i in range(n):
        encoded, label, *_ = examples.example(i)
        chip.infer(encoded, i, 0.0)
        if learns:
            chip.learn(encoded, label, i, 0.0, RULE, gradient)


def measure(n: int, rounds: int, learns: bool, pipeline: str, gradient: str) -> tuple[float, float]:
    """Return microseconds per query of the kernels alone and of the run in time."""
    chip, examples, times = make_chip(), Examples(n), ([], [])
    for _ in range(rounds + 1):
        run = accelerator(n, learns, pipeline, gradient)
        for kind, work in enumerate((lambda: kernels(chip, examples, n, learns, gradient), run.run)):
            start = time.process_time_ns()
            work()
            times[kind].append((time.process_time_ns() - start) / 1000 / n)
    # The first stretches warm up.
    return median(times[0][1:]), median(times[1][1:])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--gradient", choices=("relaxed", "hard"), default="relaxed")
    arguments = parser.parse_args()
    print(f"{binding.get_host_cpu_name()}, Python {platform.python_version()}, {arguments.gradient} gradient")
    print(f"{'':44s} kernels us   in time us   ratio   at most")
    for learns, name, most in ((True, "learning, late labels", 1.5), (False, "inference only", 2.0)):
        for pipeline in ("none", "samples", "queries"):
            alone, timed = measure(arguments.queries, arguments.rounds, learns, pipeline, arguments.gradient)
            title = f"{name}, pipeline {pipeline}"
            print(f"{title:44s} {alone:10.1f} {timed:12.1f} {timed / alone:7.2f} {most:9.1f}")


if __name__ == "__main__":
    main()
