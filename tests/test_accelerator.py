"""Time in the loop: the timed run against plain functional twins, and the account against sums by hand."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from building import ideal_arrays, make_card, make_chip, synapse_spec

from bimu_hw.accelerator.architecture import PLAIN
from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.clock import to_seconds, to_ticks
from bimu_hw.accelerator.engine import Accelerator, AcceleratorSpec
from bimu_hw.accelerator.oracle import LabelTimes
from bimu_hw.accelerator.plan import WorkPlan
from bimu_hw.cards import COMPONENT_COSTS, Card, Fact
from bimu_hw.crossbar.chip import Encoded
from bimu_hw.crossbar.synapses import Programming
from bimu_hw.errors import ScenarioError, ScheduleError
from bimu_hw.learning.policies import policy_from_spec
from bimu_hw.learning.rules import Bimu
from bimu_hw.learning.uncertainty import uncertainty
from bimu_hw.ledger import CostTable, Tally, price
from bimu_hw.operations import COMPONENTS, OPERATIONS, PHASES, operation_index, phase_index

RULE = Bimu(lr=60.0, lr_max=0.02, likelihood_multiplier=12.0, kl_multiplier=4.0, memory_window=2000.0)
N_IN, N_OUT, N_SAMPLE = 12, 4, 3


def components(**values: float) -> Card:
    defaults = {"digital_lanes": 4.0, "link_bits": 16.0, "adc_reference_bits": 8.0, "line_reference_cells": 128.0}
    facts = {
        name: Fact(values.get(name, defaults.get(name, 1e-9)), spec.unit, "assumed", why="test")
        for name, spec in COMPONENT_COSTS.items()
    }
    return Card("test_components", "components", "test", "", "test", {}, facts, {})


class Stream:
    """Random examples, each a function of its index."""

    def __init__(self, n: int) -> None:
        self.n_examples = n

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        rng = np.random.default_rng(index)
        x = rng.normal(size=N_IN).astype(np.float32)
        label = int(rng.integers(N_OUT))
        return Encoded(x[None, None, :], np.ones(1, np.float32), x[None, :]), label, label, 0

    def examples(self, start: int, stop: int) -> list[tuple[Encoded, int, int, int]]:
        return [self.example(index) for index in range(start, stop)]


class Watcher:
    def __init__(self) -> None:
        self.rows, self.late = [], []
        self.spent = {}

    def between_jobs(self) -> None:
        pass

    def before_query(self, index: int, tick: int) -> None:
        pass

    def answered(self, row) -> None:
        self.rows.append(row)
        self.spent[row.example] = [Tally(row.spent.counts.copy(), row.spent.array_joules)]

    def learned(self, row) -> None:
        self.late.append(row.example)
        self.spent[row.example].append(row.spent)


def build(n=200, **options):
    accelerator, watcher = assemble(n, **options)
    accelerator.run()
    return accelerator, watcher


def assemble(
    n=200, *, arrivals=None, queue=64, latency=0, policy=("always", {}), gating=False, gradient="hard",
    storage=None, sampler=None, policy_of_device="deterministic", parts=None, source=None, labels=None,
    architecture=PLAIN, machine=None, timeline=0, **more,
):  # fmt: skip
    timed = {"read_time": 1e-9, "sample_time": 1e-9, "pulse_width_up": 1e-9, "pulse_width_down": 2e-9}
    storage = storage or make_card("ideal_storage", **{k: v for k, v in timed.items() if k != "sample_time"})
    sampler = sampler or make_card("ideal_sampler", read_time=1e-9, sample_time=1e-9)
    spec = synapse_spec(storage, sampler, policy=policy_of_device)
    chip = make_chip((N_IN, 9, N_OUT), N_SAMPLE, synapses=spec, arrays=ideal_arrays())
    parts = parts or components()
    plan = WorkPlan(
        chip, parts, storage, sampler, input_slots=(1,), input_bits=8, columns_per_adc=4,
        rule_operations=RULE.operations, relaxed=gradient == "relaxed", architecture=architecture,
    )  # fmt: skip
    watcher = Watcher()
    watcher.costs = CostTable.from_cards({"component": parts, "storage": storage, "sampler": sampler})
    accelerator = Accelerator(
        chip, plan, source or Stream(n), policy_from_spec(policy[0], **policy[1]), RULE,
        AcceleratorSpec(
            arrivals or Arrivals("back_to_back"), queue, labels or LabelTimes(latency), gating, gradient, **more
        ), 1, watcher, machine, timeline,
    )  # fmt: skip
    return accelerator, watcher


def twin(indices, delay=0, gradient="hard", at_least=None):
    """Learn examples one after the other, each `delay` examples after it was seen; no time anywhere.

    With `at_least`, only those are learned whose samples disagree that often at the moment they are seen.
    """
    chip = make_chip((N_IN, 9, N_OUT), N_SAMPLE)
    stream = Stream(0)
    waiting: deque[int | None] = deque()

    def learn(index: int | None) -> None:
        if index is not None:
            encoded, label, *_ = stream.example(index)
            chip.learn(encoded, label, index, 0.0, RULE, gradient)

    for index in indices:
        logits = chip.infer(stream.example(index)[0], index, 0.0)
        asked = at_least is None or uncertainty(logits[None].astype(np.float64)).disagreement[0] >= at_least
        waiting.append(index if asked else None)
        if len(waiting) > delay:
            learn(waiting.popleft())
    for index in waiting:
        learn(index)
    return chip


def same_lam(a, b) -> bool:
    return all(np.array_equal(s.lam, t.lam) for s, t in zip(a.layers, b.layers, strict=True))


@pytest.mark.parametrize("gradient", ["hard", "relaxed"])
def test_timed_run_equals_the_plain_loop(gradient):
    accelerator, _ = build(gradient=gradient)
    assert same_lam(accelerator.chip, twin(range(200), gradient=gradient))


def test_late_labels_equal_a_plain_loop_with_delayed_updates():
    period = 10_000_000
    policy = ("variation_ratio", {"threshold": 1 / 3})
    accelerator, watcher = build(
        300, arrivals=Arrivals("periodic", 1e12 / period), latency=10 * period, policy=policy
    )
    asked = [row.example for row in watcher.rows if row.asked]
    assert watcher.late == asked
    assert 20 < len(asked) < 300
    assert all(row.label_tick == row.finish_tick + 10 * period for row in watcher.rows if row.asked)
    assert same_lam(accelerator.chip, twin(range(300), delay=10, at_least=1))
    # What is asked depends on lam, so the delay matters: the check above can fail.
    assert not same_lam(accelerator.chip, twin(range(300), delay=9, at_least=1))
    prompt, _ = build(300, policy=policy)
    assert same_lam(prompt.chip, twin(range(300), at_least=1))


def test_with_drops_the_run_equals_the_plain_loop_on_what_was_accepted():
    accelerator, watcher = build(400, arrivals=Arrivals("poisson", 3e6, seed=5), queue=2)
    accepted = [row.example for row in watcher.rows]
    assert accelerator.dropped > 20
    assert len(accepted) + accelerator.dropped == 400
    assert accepted == sorted(accepted)
    assert same_lam(accelerator.chip, twin(accepted))


def test_what_is_not_asked_costs_inference_only():
    accelerator, _ = build(policy=("never", {}))
    chip = make_chip((N_IN, 9, N_OUT), N_SAMPLE)
    assert same_lam(accelerator.chip, chip)
    counts = accelerator.ledger.counts
    used = [phase for phase in PHASES if counts[phase_index(phase)].any()]
    assert used == ["inference", "idle"]


def test_random_labels_do_not_depend_on_time():
    policy = ("random", {"rate": 0.3})
    slow, seen = build(policy=policy)
    fast, seen_fast = build(policy=policy, arrivals=Arrivals("periodic", 1e4))
    asked = [row.example for row in seen.rows if row.asked]
    assert asked == [row.example for row in seen_fast.rows if row.asked]
    assert same_lam(slow.chip, fast.chip)
    # 200 draws at 0.3: 60 +- 6.5; five standard deviations, false alarm below 1e-6.
    assert 28 < len(asked) < 92


@pytest.mark.parametrize("gradient", ["hard", "relaxed"])
@pytest.mark.parametrize("arrivals", [Arrivals("back_to_back"), Arrivals("poisson", 1e5, seed=3)])
def test_given_labels_teach_the_same_without_a_query(gradient, arrivals):
    always, asked = build(gradient=gradient, arrivals=arrivals)
    given, watcher = build(gradient=gradient, arrivals=arrivals, policy=("given", {}))
    assert same_lam(given.chip, always.chip)
    assert watcher.late == [row.example for row in watcher.rows] == list(range(200))
    assert (given.requested, given.learned, always.requested) == (0, always.learned, 200)
    assert not any(row.asked for row in watcher.rows)
    assert all(row.label_tick == row.arrival_tick for row in watcher.rows)
    assert {row.finish_tick - row.start_tick for row in watcher.rows} == {given.plan.inference_ticks}
    counts = given.ledger.counts
    assert not counts[[phase_index("inference"), phase_index("label")]].any()
    # One forward pass in all, where a query before a relaxed update makes two and a hard update uses the query's.
    update = always.ledger.counts.copy()
    if gradient == "hard":
        update[phase_index("backward")] += update[phase_index("inference")]
        assert [row.prediction for row in watcher.rows] == [row.prediction for row in asked.rows]
        assert [row.epistemic for row in watcher.rows] == [row.epistemic for row in asked.rows]
    update[[phase_index(phase) for phase in ("inference", "label", "idle")]] = 0
    counts[phase_index("idle")] = 0
    np.testing.assert_array_equal(counts, update)


def test_with_given_labels_the_prediction_is_that_of_learning_before_its_update():
    _, watcher = build(60, gradient="relaxed", policy=("given", {}))
    chip, stream = make_chip((N_IN, 9, N_OUT), N_SAMPLE), Stream(0)
    for row in watcher.rows:
        encoded, label, *_ = stream.example(row.example)
        chip.learn(encoded, label, row.example, 0.0, RULE, "relaxed")
        z = chip.logits.astype(np.float64)
        score = (z - np.log(np.exp(z).sum(axis=1, keepdims=True))).mean(axis=0)
        assert row.prediction == score.argmax()
        assert row.predictive == pytest.approx(uncertainty(z[None]).predictive[0], rel=1e-6)
    # Untaught it would have guessed otherwise: what is compared depends on the updates before.
    assert not same_lam(chip, make_chip((N_IN, 9, N_OUT), N_SAMPLE))


@pytest.mark.parametrize("columns", ["differential", "reference", "xnor"])
def test_a_relaxed_pass_costs_what_binary_weights_of_its_mean_cost_on_average(columns):
    n = 400
    synapses = synapse_spec(sampler=make_card("ideal_sampler", g_on=7.0, g_off=1.0), columns=columns)
    chip = make_chip((N_IN, 9, N_OUT), N_SAMPLE, synapses=synapses, arrays=ideal_arrays(columns=columns))
    encoded = Stream(0).example(0)[0]
    binary = []
    for event in range(n):
        chip.infer(encoded, event, 0.0)
        binary.append(chip.forward_reads().conductance[0])
    chip.learn(encoded, 0, 0, 0.0, Bimu(0.0, 1.0, 1.0, 0.0, 1.0), "relaxed")
    expected = chip.forward_reads().conductance[0]
    # Five standard errors of the mean: false alarm below 1e-6.
    assert abs(np.mean(binary) - expected) <= 5 * np.std(binary) / np.sqrt(n) + 1e-9 * expected


@pytest.mark.parametrize("gating", [False, True])
@pytest.mark.parametrize("latency", [0, 5_000_000])
@pytest.mark.parametrize("policy", ["deterministic", "residue"])
def test_energy_adds_up(gating, latency, policy):
    adds_up(gating, latency, policy, ("random", {"rate": 0.5}))


def test_energy_adds_up_with_given_labels():
    adds_up(False, 0, "residue", ("given", {}))


def adds_up(gating, latency, policy, labels):
    storage = make_card("ideal_storage", n_levels=16, read_time=1e-9)
    accelerator, watcher = build(
        100, arrivals=Arrivals("periodic", 1e5), latency=latency, gating=gating, policy_of_device=policy,
        policy=labels, storage=storage,
    )  # fmt: skip
    ledger, costs = accelerator.ledger, watcher.costs
    energy = ledger.energy(costs)
    total = energy.sum()
    for axis in range(3):
        assert energy.sum(axis=axis).sum() == pytest.approx(total, rel=1e-12)
    # Every count belongs to one query or to idle, exactly; of the joules of the arrays the order of adding differs.
    tallies = [tally for tallies in watcher.spent.values() for tally in tallies]
    idle = ledger.counts[phase_index("idle")].sum(axis=0)
    np.testing.assert_array_equal(sum(t.counts for t in tallies) + idle, ledger.counts.sum(axis=(0, 1)))
    by_component = sum(price(t.counts, t.array_joules, costs.joules) for t in tallies)
    by_component = by_component + energy[phase_index("idle")].sum(axis=0)
    np.testing.assert_allclose(by_component, energy.sum(axis=(0, 1)), rtol=1e-12)
    # The same by a loop over operations that shares nothing with the ledger's own.
    joules = float(ledger.array_joules.sum())
    for i, operation in enumerate(OPERATIONS):
        joules += int(ledger.counts[..., i].sum()) * costs.joules[i]
        assert operation.component in COMPONENTS
    assert joules == pytest.approx(total, rel=1e-12)


def test_inference_counts_and_time_by_hand():
    """Network 12-9-4 on one tile per layer, one analog plane, 3 samples, 4 columns per converter."""
    accelerator, watcher = build(7, policy=("never", {}))
    counts = accelerator.ledger.counts[phase_index("inference")]

    def count(component, name):
        return counts[:, operation_index(component, name)].tolist()

    assert count("adc", "convert") == [7 * 3 * 9, 7 * 3 * 4, 0]
    assert count("sampler", "bit") == count("sampler", "latch") == [7 * 3 * 12 * 9, 7 * 3 * 9 * 4, 0]
    assert count("digital", "mac") == [7 * 3 * 3 * 9, 7 * 3 * (3 * 4 + 4), 0]
    assert count("digital", "add") == [7 * 3 * (9 + 9), 7 * 3 * (4 + 4), 0]
    assert count("digital", "function") == [7 * 3 * 2, 7 * 3 * (2 + 8), 0]
    # Arrays: 1 ns sample + 1 ns line + 1 ns read + 4 ns conversions per layer; digital: operations / 4 lanes.
    first = 7 + -(-(9 + 9 + 27 + 2) // 4)
    second = 7 + -(-(4 + 4 + 12 + 4 + 2 + 8) // 4)
    nanoseconds = 3 * (first + second)
    assert [row.finish_tick - row.start_tick for row in watcher.rows] == [1000 * nanoseconds] * 7
    assert accelerator.duration_ticks == 7 * 1000 * nanoseconds
    assert accelerator.event_count == 7 * 3 * 4


def plan_of(slots, **changes):
    arrays = ideal_arrays(**changes)
    synapses = synapse_spec(make_card("ideal_storage", read_time=1e-9), columns=arrays.columns)
    chip = make_chip((N_IN, 9, N_OUT), N_SAMPLE, synapses=synapses, arrays=arrays)
    sampler = make_card("ideal_sampler", read_time=1e-9, sample_time=1e-9)
    return WorkPlan(
        chip, components(), synapses.storage, sampler, input_slots=slots, input_bits=5, columns_per_adc=4,
        rule_operations=RULE.operations, relaxed=False,
    )  # fmt: skip


def test_a_pulse_takes_its_slots_and_one_conversion():
    """Per look 1 ns line, 1 ns per slot, 4 ns conversions; 1 ns for a fresh sample."""
    pulse, bits = plan_of((1, 31), inputs="pulse_width", gradient_bits=6), plan_of((1,) * 6, inputs="bit_serial")
    assert pulse.inference_stages[0].ticks == 1000 * (1 + (1 + 1 + 4) + (1 + 31 + 4))
    assert bits.inference_stages[0].ticks == 1000 * (1 + 6 * (1 + 1 + 4))
    convert = operation_index("adc", "convert")
    assert pulse.inference.counts[:, convert].tolist() == [N_SAMPLE * 2 * 9, N_SAMPLE * N_OUT, 0]
    assert bits.inference.counts[:, convert].tolist() == [N_SAMPLE * 6 * 9, N_SAMPLE * N_OUT, 0]
    backward = [stage.ticks for stage in pulse.update_stages if stage.resource == "arrays" and stage.biased]
    assert backward == [1000 * ((1 + 1 + 4) + (1 + 63 + 4))] * N_SAMPLE
    backward = dict(pulse.update)[phase_index("backward")]
    assert backward.counts[:, convert].tolist() == [0, N_SAMPLE * 2 * 9, 0]


def test_a_signed_activation_takes_one_look_where_lines_take_both_signs():
    def looks(**changes):
        return make_chip((N_IN, 9, N_OUT), arrays=ideal_arrays(**changes), activation="sign").hidden_plane_count()

    assert looks(inputs="bit_serial") == looks(inputs="pulse_width") == 2
    assert looks(inputs="signed_bits") == looks(inputs="analog") == looks(inputs="bit_serial", columns="xnor") == 1


def test_complementary_word_lines_are_counted():
    add = operation_index("digital", "add")
    plain, xnor = plan_of((1,) * 6, inputs="bit_serial"), plan_of((1,) * 6, inputs="bit_serial", columns="xnor")
    assert (xnor.inference.counts - plain.inference.counts)[:, add].tolist() == [N_SAMPLE * 6, N_SAMPLE, 0]


def test_an_update_takes_its_stages_and_programs_row_by_row():
    accelerator, watcher = build(5)
    counts = accelerator.ledger.counts
    assert counts[phase_index("read_lambda"), :, operation_index("storage", "read")].tolist() == [540, 180, 0]
    rows = counts[phase_index("programming"), :, operation_index("write_driver", "row")].sum()
    assert rows <= 5 * (12 + 9)
    assert rows > 0
    starts = [row.start_tick for row in watcher.rows]
    assert starts == sorted(set(starts))


def test_queue_latency_includes_waiting():
    accelerator, watcher = build(50, arrivals=Arrivals("poisson", 5e5, seed=1), queue=64, policy=("never", {}))
    service = accelerator.plan.inference_ticks
    free = 0
    for row in watcher.rows:  # Lindley's recursion
        assert row.start_tick == max(row.arrival_tick, free)
        free = row.start_tick + service
        assert row.finish_tick == free
    assert accelerator.usage["controller"].busy_ticks == 50 * service
    assert accelerator.usage["controller"].busy_ticks <= accelerator.duration_ticks


def test_bias_belongs_to_the_array_that_works_and_what_rests_to_idle():
    on, _ = build(20, arrivals=Arrivals("periodic", 1e5), policy=("never", {}))
    gated, _ = build(20, arrivals=Arrivals("periodic", 1e5), policy=("never", {}), gating=True)
    # Per sample an array stage of 7 ns each: 108 elements of the first layer, 36 of the second.
    biased = [20 * N_SAMPLE * 7 * cells for cells in (108, 36)]
    resting = [cells * on.duration_ticks // 10**6 - b // 1000 for cells, b in zip((108, 36), biased, strict=True)]

    def count(accelerator, phase, *operation):
        return accelerator.ledger.counts[phase_index(phase), :, operation_index(*operation)].tolist()

    for accelerator in (on, gated):
        assert count(accelerator, "inference", "sampler", "bias") == [*biased, 0]
        stored = [cells * accelerator.duration_ticks // 10**6 for cells in (108, 36)]
        assert count(accelerator, "idle", "leakage", "storage") == [*stored, 0]
        assert count(accelerator, "idle", "leakage", "periphery") == [0, 0, accelerator.duration_ticks // 10**6]
    assert count(on, "idle", "sampler", "idle_bias") == pytest.approx([*resting, 0], abs=1)
    assert count(on, "idle", "leakage", "sampler") == [0, 0, 0]
    assert count(gated, "idle", "sampler", "idle_bias") == [0, 0, 0]
    assert count(gated, "idle", "leakage", "sampler") == pytest.approx([*resting, 0], abs=1)


def test_a_run_too_long_for_the_account_is_refused_in_one_sentence():
    with pytest.raises(ScheduleError, match="too long"):
        build(2, arrivals=Arrivals("periodic", 1e-12), policy=("never", {}))


def test_tiles_are_written_side_by_side():
    one, _ = build(3)
    written, stages = one.plan.programming((Programming(9, 3, np.array([[4, 3, 1], [2, 6, 0]])),))
    assert [layer.rows for layer in written] == [6]
    assert [stage.ticks for stage in stages] == [max(4 + 3 + 2 * 1, 2 + 6) * 1000]


def test_the_oracle_may_err_but_the_record_keeps_the_true_label():
    class Noisy(Stream):
        def example(self, index):
            encoded, label, _, task = super().example(index)
            return encoded, label, (label + 1) % N_OUT, task

    clean, seen = build(30)
    wrong, seen_wrong = build(30, source=Noisy(30))
    assert [r.label for r in seen.rows] == [r.label for r in seen_wrong.rows]
    assert not same_lam(clean.chip, wrong.chip)


def test_ticks_are_exact():
    assert 10 * to_ticks(1e-10, "a step") == to_ticks(1e-9, "ten steps") == 1000
    assert to_seconds(1000) == 1e-9
    for bad in (1e-13, -1e-9, float("nan"), float("inf")):
        with pytest.raises(ScheduleError, match="a step: got"):
            to_ticks(bad, "a step")


def test_arrivals_are_functions_of_the_index():
    a = Arrivals("poisson", 1e6, seed=3)
    forwards = [a.gap(i) for i in range(9000)]
    b = Arrivals("poisson", 1e6, seed=3)
    assert [b.gap(i) for i in reversed(range(9000))] == forwards[::-1]
    # Mean of 9000 exponential gaps of 1e6 ticks: standard error 1.05e4; six of them, false alarm 2e-9.
    assert abs(np.mean(forwards) - 1e6) < 6 * 1e6 / np.sqrt(9000)
    periodic = Arrivals("periodic", 3.0)
    assert sum(periodic.gap(i) for i in range(9)) == 3 * 10**12
    with pytest.raises(ScenarioError, match="rate"):
        Arrivals("poisson", 0.0)
