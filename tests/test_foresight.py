"""A chip that computes steps before their time: nothing that is learned, booked, recorded or resumed is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from building import analog, ideal_arrays, make_card, make_chip, synapse_spec
from test_run import assert_same

import bimu_hw
from bimu_hw.accelerator.foresight import Foresight
from bimu_hw.crossbar.step import MOST_AT_ONCE, RelaxedSteps
from bimu_hw.errors import ScheduleError
from bimu_hw.learning.rules import BayesBinn, Bimu
from bimu_hw.run import Run, resume_run, run_scenario
from bimu_hw.scenario import load_scenario

RULES = {
    "bimu": lambda: Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0),
    "bimu, no request": lambda: Bimu(
        lr=0.0, lr_max=0.1, likelihood_multiplier=1.0, kl_multiplier=0.0, memory_window=10.0
    ),
    "bayesbinn": lambda: BayesBinn(lr=0.77, prior_strength=1.25e-5),
}
SCENARIO = Path(__file__).parents[1] / "scenarios" / "permuted_mnist_ideal.toml"
#: Digits, with pauses of the foresight in uneven places: 3 tasks of 67 examples, snapshots every 23.
OPTIONS = (
    "stream.dataset=digits", "stream.tasks=3", "stream.examples=201", "labels.policy=given", "network.hidden=[90]",
    "record.snapshots=23", "record.checkpoint_interval=0 s", "evaluation.examples=40",
)  # fmt: skip
EVENTS = 3 * MOST_AT_ONCE + 5


def examples(n_in, dead):
    """Return examples of which some have inputs of exactly zero in places that change, `dead` of ten."""
    rng = np.random.default_rng(3)
    for event in range(EVENTS):
        x = rng.normal(size=n_in) * (rng.integers(0, 10, n_in) >= (dead if event % 5 == 0 else 0))
        yield analog(x), event % 4


def learned(rule, stretch, *, dead=0, threads=1, initial_lam="uniform", sizes=(301, 90, 10)):
    """Return all that steps leave behind, and how far ahead the chip was at most."""
    synapses = synapse_spec(make_card("ideal_storage", n_levels=0))
    chip = make_chip(sizes, synapses=synapses, threads=threads, initial_lam=initial_lam)
    coming, done, most = list(examples(sizes[0], dead)), [], 0
    for event, (example, label) in enumerate(coming):
        if stretch and event % stretch == 0:
            chip.foresee(dict(enumerate(coming[event : event + stretch], event)))
        result = chip.learn(example, label, event, float(event), rule, "relaxed")
        most = max(most, chip.ahead)
        done += [result.loss, result.changed, chip.forward_reads(), chip.logits.tobytes()]
        done += [(p.pulses_up, p.pulses_down, p.tiles.tobytes()) for p in result.programming]
    arrays = [s.lam for s in chip.layers] + [s.state.pulse_count for s in chip.layers]
    return done, [array.copy() for array in arrays], most


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("initial_lam", "dead"), [("uniform", 0), ("zero", 4)])
def test_steps_before_their_time_have_the_bits_of_steps_in_time(rule, threads, initial_lam, dead):
    options = {"threads": threads, "initial_lam": initial_lam, "dead": dead}
    in_time = learned(RULES[rule](), 0, **options)
    assert in_time[2] == 0
    for stretch in (7, 3 * MOST_AT_ONCE):
        ahead = learned(RULES[rule](), stretch, **options)
        # Without a request there is never a pulse for every cell.
        assert ahead[2] == 0 if rule == "bimu, no request" else 0 < ahead[2] < MOST_AT_ONCE
        assert ahead[0] == in_time[0]
        for mine, other in zip(ahead[1], in_time[1], strict=True):
            np.testing.assert_array_equal(mine, other)


def test_pulses_that_must_be_listed_are_listed_before_the_next_step(monkeypatch):
    """Cells at lam = 0 whose input is zero get no pulse, so the steps of such examples end a call."""
    calls = []
    compute = RelaxedSteps.compute

    def counted(self, *arguments):
        compute(self, *arguments)
        calls.append(self.ahead)

    monkeypatch.setattr(RelaxedSteps, "compute", counted)
    learned(RULES["bimu"](), EVENTS, initial_lam="zero", dead=4)
    assert sum(calls) == EVENTS
    assert calls[0] == 1
    assert max(calls) == MOST_AT_ONCE


def test_a_chip_that_is_ahead_lets_nobody_look():
    chip = make_chip(synapses=synapse_spec(make_card("ideal_storage", n_levels=0)))
    rule, coming = RULES["bimu"](), [(analog(np.ones(12)), 1)] * 3
    chip.foresee(dict(enumerate(coming)))
    chip.learn(*coming[0], 0, 0.0, rule, "relaxed")
    assert chip.ahead == 2
    for look in (
        chip.state, lambda: chip.end_task(rule), lambda: chip.infer(coming[0][0], 5, 0.0), lambda: chip.foresee({}),
        lambda: chip.age(5, 0.0, 1.0, 300.0), lambda: chip.learn(*coming[1], 1, 0.0, rule, "hard"), chip.be_in_time,
        lambda: chip.use_task(0), lambda: chip.infer_many(np.ones((2, 12), np.float32)),
    ):  # fmt: skip
        with pytest.raises(ScheduleError, match="2 steps ahead of its time"):
            look()
    for other in ((*coming[1], 7), (analog(np.ones(12)), 1, 1), (coming[1][0], 0, 1)):
        with pytest.raises(ScheduleError, match="but event 1 with label 1 was foreseen"):
            chip.learn(*other, 0.0, rule, "relaxed")
    chip.learn(*coming[1], 1, 0.0, rule, "relaxed")
    chip.learn(*coming[2], 2, 0.0, rule, "relaxed")
    in_time = make_chip(synapses=synapse_spec(make_card("ideal_storage", n_levels=0)))
    for event, (example, label) in enumerate(coming):
        in_time.learn(example, label, event, 0.0, rule, "relaxed")
    assert [s.lam.tolist() for s in chip.layers] == [s.lam.tolist() for s in in_time.layers]


def test_a_chip_that_is_restored_while_ahead_forgets_what_was_foreseen():
    chips = [make_chip(synapses=synapse_spec(make_card("ideal_storage", n_levels=0))) for _ in range(2)]
    rule, coming = RULES["bimu"](), [(analog(np.arange(12) * k), k) for k in range(4)]
    chips[0].learn(*coming[0], 0, 0.0, rule, "relaxed")
    state = {k: {part: {n: np.array(v) for n, v in arrays.items()} for part, arrays in layer.items()}
             for k, layer in chips[0].state().items()}  # fmt: skip
    chips[0].foresee(dict(enumerate(coming[1:], 1)))
    chips[0].learn(*coming[1], 1, 0.0, rule, "relaxed")
    assert chips[0].ahead == 2
    for chip in chips:
        chip.restore(state)
        assert chip.ahead == 0
        chip.learn(*coming[3], 1, 0.0, rule, "relaxed")
        assert chip.ahead == 0
    assert [s.lam.tolist() for s in chips[0].layers] == [s.lam.tolist() for s in chips[1].layers]


@pytest.mark.parametrize(
    "chip",
    [
        lambda: make_chip(synapses=synapse_spec(make_card("ideal_storage", n_levels=16))),
        lambda: make_chip(
            arrays=ideal_arrays(columns="reference"),
            synapses=synapse_spec(make_card("ideal_storage", n_levels=0), columns="reference"),
        ),
    ],
)  # fmt: skip
def test_where_steps_depend_on_more_the_chip_is_never_ahead(chip):
    chip = chip()
    coming = [(analog(np.ones(12)), 1)] * 3
    chip.foresee(dict(enumerate(coming)))
    for event, (example, label) in enumerate(coming):
        chip.learn(example, label, event, 0.0, RULES["bimu"](), "relaxed")
        assert chip.ahead == 0


def record(folder, *overrides):
    return bimu_hw.open_run(run_scenario(load_scenario(SCENARIO, (*OPTIONS, *overrides)), folder, progress=False).path)


@pytest.fixture(scope="module")
def in_time(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "next_look", lambda self, index: index + 1)
        return record(tmp_path_factory.mktemp("in_time"))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_with_foresight_has_the_record_of_one_without(in_time, threads, tmp_path, monkeypatch):
    lengths = []
    example = Foresight.example

    def noted(self, index):
        lengths.append(self._chip.ahead)
        return example(self, index)

    monkeypatch.setattr(Foresight, "example", noted)
    assert_same(in_time, record(tmp_path, f"run.threads={threads}"))
    assert max(lengths) == MOST_AT_ONCE - 1


@pytest.mark.parametrize("at", [1, 40, 66, 67, 150])
def test_a_run_that_is_stopped_while_the_chip_is_ahead_goes_on_to_the_same_record(in_time, at, tmp_path, monkeypatch):
    answered, steps_ahead = Run.answered, []

    def stop(self, row):
        answered(self, row)
        if row.example == at:
            steps_ahead.append(self.chip.ahead)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "answered", stop)
        with pytest.raises(KeyboardInterrupt):
            record(tmp_path)
    assert_same(in_time, bimu_hw.open_run(resume_run(tmp_path, progress=False).path))
    assert steps_ahead[0] > 0 or at in (1, 66)
