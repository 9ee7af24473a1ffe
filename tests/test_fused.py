"""Work in few passes has the bits of work in several, for any number of threads."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from building import analog, ideal_arrays, make_card, make_chip, synapse_spec

from bimu_hw.crossbar import fused, step
from bimu_hw.kernels.blocks import block_range, block_rows, count_pairs
from bimu_hw.kernels.counters import count_all, count_pulses
from bimu_hw.kernels.mvm import convert_and_add, tile_sums
from bimu_hw.kernels.network import predictions, query_uncertainty
from bimu_hw.kernels.plain import plain_product, sum_columns
from bimu_hw.kernels.team import AVAILABLE
from bimu_hw.learning.rules import BayesBinn, Bimu
from device_models.nonidealities import add_pulses

F = np.float32
#: A gradient of every size and, at lr = 0, requests of zero.
RULES = {
    "bimu": lambda: Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0),
    "bimu, large steps": lambda: Bimu(
        lr=900.0, lr_max=30.0, likelihood_multiplier=1.0, kl_multiplier=0.1, memory_window=10.0
    ),
    "bimu, no request": lambda: Bimu(
        lr=0.0, lr_max=0.1, likelihood_multiplier=1.0, kl_multiplier=0.0, memory_window=10.0
    ),
    "bayesbinn": lambda: BayesBinn(lr=0.77, prior_strength=1.25e-5),
}


class InPasses:
    """A rule that the kernels do not know by numbers."""

    def __init__(self, rule):
        self.rule, self.epsilon = rule, rule.epsilon

    def begin_update(self, cells):
        self.rule.begin_update(cells)

    def request(self, *arguments):
        self.rule.request(*arguments)


def learned(rule, gradient, storage, policy, *, sizes=(37, 21, 5), threads=1, keep=False, events=4):
    """Return everything that a few updates leave behind."""
    synapses = synapse_spec(storage=storage, policy=policy, residue_bits=12)
    chip = make_chip(sizes, synapses=synapses, threads=threads)
    rng = np.random.default_rng(5)
    done = []
    for layer in chip.layers:
        layer.keep_requests = keep
    for event in range(events):
        x = rng.normal(size=sizes[0]) * (rng.random(sizes[0]) > 0.3)
        result = chip.learn(analog(x), event % sizes[-1], event, 0.0, rule, gradient)
        done += [(p.pulses_up, p.pulses_down, p.tiles.tobytes()) for p in result.programming]
        chip.infer(analog(x), event, 0.0)
    arrays = [
        array.copy()
        for s in chip.layers
        for array in (s.lam, s.residue, s.requested, *s.state, *s.sampler_state, *s.shape_arrays())
    ]
    return done, arrays


def assert_same(a, b):
    assert a[0] == b[0]
    for mine, other in zip(a[1], b[1], strict=True):
        np.testing.assert_array_equal(mine, other)


STORAGES = {
    "continuous": lambda: make_card("ideal_storage", n_levels=0),
    "16 levels": lambda: make_card("ideal_storage", n_levels=16),
    "continuous pair": lambda: make_card("soft_bounds_pair", n_levels=0, sigma_c2c=0.1),
    "16-level pair": lambda: make_card("soft_bounds_pair", n_levels=16, nonlinearity=0.5, write_noise=0.1),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gradient", ["relaxed", "hard"])
@pytest.mark.parametrize("policy", ["deterministic", "stochastic", "residue"])
@pytest.mark.parametrize("storage", STORAGES)
def test_one_pass_has_the_bits_of_several(rule, gradient, policy, storage):
    keep = policy != "stochastic"
    one = learned(RULES[rule](), gradient, STORAGES[storage](), policy, keep=keep)
    several = learned(InPasses(RULES[rule]()), gradient, STORAGES[storage](), policy, keep=keep)
    assert_same(one, several)


@pytest.mark.parametrize("gradient", ["relaxed", "hard"])
@pytest.mark.parametrize("storage", ["continuous", "16 levels"])
def test_the_number_of_threads_changes_nothing(gradient, storage, monkeypatch):
    monkeypatch.setattr(fused, "WORTH_SPLITTING", 0)
    sizes = (301, 40, 10)
    one = learned(RULES["bimu"](), gradient, STORAGES[storage](), "residue", sizes=sizes)
    for threads in (2, 3):
        many = learned(RULES["bimu"](), gradient, STORAGES[storage](), "residue", sizes=sizes, threads=threads)
        assert_same(one, many)


def steps_on_large_layers(rule, threads, pause=0.0):
    """Return what relaxed steps with tasks that end leave behind, on layers that threads share, and the threads."""
    chip = make_chip((301, 90, 64, 10), synapses=synapse_spec(make_card("ideal_storage", n_levels=0)), threads=threads)
    rng, done = np.random.default_rng(6), []
    for event in range(6):
        time.sleep(pause)
        result = chip.learn(analog(rng.normal(size=301)), event % 10, event, 0.0, rule, "relaxed")
        done += [result.loss, *((p.pulses_up, p.pulses_down) for p in result.programming)]
        if event % 2:
            chip.end_task(rule)
    return done, [array.copy() for s in chip.layers for array in (s.lam, *s.shape_arrays())]


@pytest.mark.skipif(not AVAILABLE, reason="there are no teams on this system")
@pytest.mark.parametrize("rule", ["bimu", "bayesbinn"])
def test_a_team_has_the_bits_of_one_thread_also_after_it_slept(rule):
    one = steps_on_large_layers(RULES[rule](), 1)
    for threads, pause in ((2, 0.0), (3, 0.0), (2, 0.05)):
        assert_same(one, steps_on_large_layers(RULES[rule](), threads, pause))


@pytest.mark.skipif(not AVAILABLE, reason="there are no teams on this system")
@pytest.mark.parametrize("where", ["relaxed_steps", "serve"])
def test_a_team_whose_step_was_interrupted_begins_anew(where, monkeypatch):
    class Interrupted(Exception):
        pass

    def interrupted(*arguments):
        raise Interrupted

    rule, chips = RULES["bimu"](), []
    for threads in (1, 2):
        chip = make_chip((301, 90, 10), synapses=synapse_spec(make_card("ideal_storage", n_levels=0)), threads=threads)
        rng = np.random.default_rng(6)
        for event in range(4):
            x = analog(rng.normal(size=301))
            # Threads are employed at the first step, and at all others where they could not be.
            if threads == 2 and (where == "relaxed_steps" or event == 0):
                with monkeypatch.context() as patch:
                    patch.setattr(step, where, interrupted)
                    with pytest.raises(Interrupted):
                        chip.learn(x, 1, 100 + event, 0.0, rule, "relaxed")
            chip.learn(x, 3, event, 0.0, rule, "relaxed")
        chips.append(chip)
    for one, two in zip(chips[0].layers, chips[1].layers, strict=True):
        np.testing.assert_array_equal(one.lam, two.lam)


@pytest.mark.skipif(not AVAILABLE, reason="there are no teams on this system")
def test_the_threads_of_a_team_end_with_their_chip():
    gc.collect()
    before = threading.active_count()
    chip = make_chip((301, 90, 10), synapses=synapse_spec(make_card("ideal_storage", n_levels=0)), threads=3)
    chip.learn(analog(np.ones(301)), 0, 0, 0.0, RULES["bimu"](), "relaxed")
    assert threading.active_count() == before + 2
    del chip
    gc.collect()
    assert threading.active_count() == before


@pytest.mark.parametrize("n_out", [1, 2, 10, 19, 100, 2000])
@pytest.mark.parametrize("n_in", [1, 2, 7, 100, 785])
def test_blocks_cover_every_word_line_once_in_order(n_in, n_out):
    rows = block_rows(n_out)
    assert rows * n_out % 16 == 0
    lines = [i for b in range(2 * count_pairs(n_in, rows)) for i in range(*block_range(b, rows, n_in))]
    assert lines == list(range(n_in))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("n_in", "n_out", "tile_rows"),
    [
        (784, 100, 128), (13, 3, 5), (8, 1, 8), (3, 7, 128), (50, 56, 7), (9, 113, 4), (6, 16, 4), (5, 17, 2),
        (9, 35, 4), (9, 36, 4), (7, 37, 3), (11, 64, 4), (9, 128, 9),
    ],
)  # fmt: skip
def test_the_plain_product_has_the_bits_of_the_general_one(shared, n_in, n_out, tile_rows):
    rng = np.random.default_rng(1)
    n_sample = 3
    x = rng.normal(size=(1 if shared else n_sample, n_in)).astype(F)
    w = np.where(rng.random((n_sample, n_in, n_out)) < 0.5, np.int8(-1), np.int8(1))
    zero, one = np.zeros((n_in, n_out), F), np.ones((n_in, n_out), F)
    exact = (F(2.0**-90), F(0), F(-np.inf), F(np.inf))
    general, plain = np.empty((n_sample, n_out), F), np.empty((n_sample, n_out), F)
    sums = np.empty((n_sample, 1, -(-n_in // tile_rows), n_out), F)
    tile_sums(x[:, None, :], w, zero[None], one[None], tile_rows, sums)
    shape, word = sums.shape[2:], (np.full(1, 2.0**-90, F), F(-np.inf), F(np.inf))
    convert_and_add(
        sums, np.ones((1, 1), F), exact, np.ones(shape, F), np.zeros(shape, F), F(0), np.uint64(1), 0, word, general
    )
    work = np.empty((n_sample, 2, sum_columns(n_out)), F)
    for part in ((0, 2), (2, 3)):
        plain_product(x, w, tile_rows, *part, work, plain)
    np.testing.assert_array_equal(plain, general)


@pytest.mark.parametrize("activation", ["reverse_binary_gate", "sign"])
@pytest.mark.parametrize(("n", "threads"), [(1, 1), (2, 1), (7, 1), (2, 2), (7, 2), (13, 3)])
def test_many_inputs_together_have_the_bits_of_each_by_itself(activation, n, threads):
    chip = make_chip((29, 11, 6, 4), activation=activation, threads=threads)
    x = np.random.default_rng(2).normal(size=(n, 29)).astype(F)
    chip.infer(analog(x[0]), 5, 0.0)
    assert chip.reads_plainly
    many = chip.infer_many(x)
    for one, together in zip(x, many, strict=True):
        alone = chip.infer(analog(one), 9, 0.0, fresh=False)
        np.testing.assert_array_equal(together, alone)
    assert predictions(many).tolist() == [query_uncertainty(logits)[4] for logits in many]
    assert not make_chip((29, 11, 6, 4), arrays=ideal_arrays(adc_bits=6)).reads_plainly


def test_pulses_are_counted_rounded_at_least_one_and_up_to_the_end_of_the_counter():
    counts = np.array([0.1, -0.4, 0.5, 1.49, -1.5, 2.5, 3e9, -1e-30, 0.0], F)
    start = np.array([0, 1, 2, 2**31 - 1, 5, 2**31 - 3, 7, 0, 4], np.int32)
    wanted = [1, 2, 3, 2**31 - 1, 7, 2**31 - 1, 10**9 + 7, 1, 4]
    got = start.copy()
    count_pulses(np.arange(start.size, dtype=np.int32), counts, got)
    assert got.tolist() == wanted
    assert [int(add_pulses(np.int32(s), c)) for s, c in zip(start, counts, strict=True)] == wanted
    count_all(3, start)
    assert start.tolist() == [3, 4, 5, 2**31 - 1, 8, 2**31 - 1, 10, 3, 7]
