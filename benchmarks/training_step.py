"""CPU time of one training step and one inference, [784, 100, 10], S = 5, on one core.

Every step is the whole of it: forward pass with fresh weights, backward pass, rule, programming of the devices
and what the next query needs of the new state. Time is that of the process, best and median of many steps.

    python benchmarks/training_step.py [--steps 500] [--threads 1]
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
from llvmlite import binding

from bimu_hw.cards import Card, device_specs, load_card
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.readout import ArraySpec
from bimu_hw.crossbar.step import MOST_AT_ONCE
from bimu_hw.crossbar.synapses import Seeds, SynapseSpec
from bimu_hw.devices import get_model
from bimu_hw.learning.rules import Bimu

RULE = Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0)


def make_chip(storage: Card, policy: str, threads: int) -> Chip:
    """Return an ideal chip of the published size with another storage element or policy."""
    arrays = ArraySpec(128, 128, "differential", "analog", 0, 1.0, 0, 32)
    synapses = SynapseSpec(storage, load_card("ideal_sampler"), policy, 12, 4.0, "query", "differential")
    return Chip([784, 100, 10], arrays, synapses, Seeds(1, 1, 1), 5, threads=threads)


def examples() -> list[Encoded]:
    """Return 64 random examples."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=784).astype(np.float32) for _ in range(64)]
    return [Encoded(x[None, None, :], np.ones(1, np.float32), x[None, :]) for x in rows]


def stretch(chip: Chip, encoded: list[Encoded], first: int) -> None:
    """Learn as many examples as one call takes, as in a run with given labels."""
    coming = {first + k: (encoded[(first + k) % 64], (first + k) % 10) for k in range(MOST_AT_ONCE)}
    chip.foresee(coming)
    for event, (example, label) in coming.items():
        chip.learn(example, label, event, 0.0, RULE, "relaxed")


def program(chip: Chip, requests: list[np.ndarray], event: int) -> None:
    """Do what follows the rule in a relaxed step on ideal devices: every cell changes."""
    for synapses, request in zip(chip.layers, requests, strict=True):
        synapses.program_request(request, event, 0.0, 128, 128, 32)
        synapses.mean_weight()


def measure(
    step: Callable[[int], object], n: int, clock: Callable[[], int] = time.process_time_ns
) -> tuple[float, float]:
    """Return the best and the median time of a step in microseconds; the first ten are not counted."""
    times = []
    for i in range(n + 10):
        start = clock()
        step(i)
        times.append((clock() - start) / 1000)
    return min(times[10:]), float(np.median(times[10:]))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    encoded = examples()
    ideal = load_card("ideal_storage")
    specs = {k: v for part in device_specs(get_model(ideal.model)) for k, v in part.items()}
    levels = ideal.with_values({"n_levels": 16}, specs, "benchmark")
    chip, device = make_chip(ideal, "deterministic", arguments.threads), make_chip(levels, "residue", arguments.threads)
    rng = np.random.default_rng(1)
    requests = [rng.normal(scale=1e-4, size=s.lam.size).astype(np.float32) for s in chip.layers]
    together = f"  one of {MOST_AT_ONCE} that are certain, in one call"
    cases = {
        "training step, relaxed, ideal": lambda i: chip.learn(encoded[i % 64], i % 10, i, 0.0, RULE, "relaxed"),
        together: lambda i: stretch(chip, encoded, MOST_AT_ONCE * i),
        "  of it: pulses, lam, thresholds, mean weights": lambda i: program(chip, requests, i),
        "training step, hard, ideal": lambda i: chip.learn(encoded[i % 64], i % 10, i, 0.0, RULE, "hard"),
        "training step, hard, 16 levels, residue": lambda i: device.learn(
            encoded[i % 64], i % 10, i, 0.0, RULE, "hard"
        ),
        "inference, fresh weights": lambda i: chip.infer(encoded[i % 64], i, 0.0),
        "inference, held weights": lambda i: chip.infer(encoded[i % 64], i, 0.0, fresh=False),
    }
    print(f"{binding.get_host_cpu_name()}, Python {platform.python_version()}, {arguments.threads} thread(s)")
    print(f"{'':46s} best us  median us")
    measured = {}
    for name, step in cases.items():
        n = MOST_AT_ONCE if name == together else 1
        best, median = measured[name] = tuple(time / n for time in measure(step, arguments.steps // n))
        print(f"{name:46s} {best:7.0f} {median:10.0f}")
    relaxed, fresh = measured["training step, relaxed, ideal"][0], measured["inference, fresh weights"][0]
    levels_hard = measured["training step, hard, 16 levels, residue"][0]
    samples = 5 * sum(s.lam.size for s in chip.layers)
    print(f"weight samples per second: training {samples / relaxed * 1e6:.3g}, inference {samples / fresh * 1e6:.3g}")
    print(f"16 levels against ideal: {levels_hard / measured['training step, hard, ideal'][0]:.2f} (hard)")
    clock = time.perf_counter_ns
    threads = {n: make_chip(ideal, "deterministic", n) for n in (1, 2)}
    on_the_clock = {
        n: measure(lambda i, c=c: c.learn(encoded[i % 64], i % 10, i, 0.0, RULE, "relaxed"), arguments.steps, clock)[0]
        for n, c in threads.items()
    }
    print(f"relaxed step on the clock: one thread {on_the_clock[1]:.0f} us, two {on_the_clock[2]:.0f} us")


if __name__ == "__main__":
    main()
