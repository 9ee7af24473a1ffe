"""Pauses and bakes between tasks: closed forms through whole runs, no cost, the same bits after an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from building import make_card, make_chip, synapse_spec
from test_resume import ALWAYS, assert_equal_folders, interrupt_every, resume_until_done

from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.record import open_run
from bimu_hw.run import Run, run_scenario
from bimu_hw.scenario import load_scenario

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SILENT = (
    "labels.policy=never", "labels.budget=", "labels.gamma=", "labels.latency=", "network.hidden=[]",
    "crossbar.gradient_bits=", "stream.tasks=3", "stream.examples=30", "evaluation.examples=5", "expect=",
)  # fmt: skip
RATE, ENERGY = 1e-7, 1.1
RETENTION = (
    "device.storage_params.retention_rate=1e-7 1 / s", "device.storage_params.activation_energy=1.1 eV",
)  # fmt: skip
PAUSES = (
    "ageing=[{after_task=1,duration='10 h',temperature='350 K'},{after_task='every',duration='1 day',"
    "temperature='310 K'}]"
)


def rate(kelvin):
    return RATE * math.exp(ENERGY / 8.617333262e-5 * (1 / 300 - 1 / kelvin))


@pytest.mark.parametrize("store", ["hfox_2t2r", "ecram_tang2018"])
def test_retention_through_a_run_follows_arrhenius(store, tmp_path):
    """lam relaxes by exp(-rate(T) t) in every pause, the one after the last task included."""
    options = (*SILENT, *RETENTION, f"device.storage={store}", "device.storage_params.rest_level=0")
    run_scenario(load_scenario(QUICKSTART, (*options, PAUSES)), tmp_path / "run", progress=False)
    with open_run(tmp_path / "run") as tree:
        lam = tree["layers/layer_0"]["lam"].values if "layers" in tree.children else tree["layer_0"]["lam"].values
    # Before the first query of each task, and at the end.
    assert len(lam) == 4
    some = np.abs(lam[0]) > 0.05
    hot, warm = rate(350) * 36_000, rate(310) * 86_400
    for snapshot, lost in zip(lam[1:], (hot + warm, hot + 2 * warm, hot + 3 * warm), strict=True):
        left = snapshot[some] / lam[0][some]
        # Stuck devices stay; a second of simulated time relaxes by 1e-7.
        assert np.median(left) == pytest.approx(math.exp(-lost), rel=1e-4)


def test_ageing_takes_no_time_and_no_energy():
    def account(*more):
        run = Run(load_scenario(QUICKSTART, (*SILENT, *RETENTION, "device.storage=hfox_2t2r", *more)))
        run.accelerator.run()
        return run.accelerator.ledger.counts, run.accelerator.duration_ticks, run.chip.layers[0]

    (counts, ticks, fresh), (aged_counts, aged_ticks, aged) = account(), account(PAUSES)
    assert ticks == aged_ticks
    np.testing.assert_array_equal(counts, aged_counts)
    assert aged.state_arrays()["time"][1] == 36_000 + 3 * 86_400
    assert np.abs(aged.lam).sum() < 0.9 * np.abs(fresh.lam).sum()


def test_an_interrupted_run_ages_once(tmp_path, monkeypatch):
    options = (
        *RETENTION, "device.storage=hfox_2t2r", "stream.tasks=3", "stream.examples=60", "evaluation.examples=10",
        "network.hidden=[16]", PAUSES,
    )  # fmt: skip
    run_scenario(load_scenario(QUICKSTART, options), tmp_path / "whole", progress=False)
    stops = interrupt_every(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(load_scenario(QUICKSTART, (*options, ALWAYS)), tmp_path / "run", progress=False)
    resume_until_done(tmp_path / "run")
    assert len(stops) > 5
    assert_equal_folders(tmp_path / "whole", tmp_path / "run")


def test_ageing_is_part_of_the_hash_and_its_absence_is_not():
    plain, aged = (load_scenario(QUICKSTART, more) for more in ((), (PAUSES,)))
    assert plain.hash != aged.hash
    assert "ageing" not in plain.resolved()
    assert aged.resolved()["ageing"][0] == {"after_task": 1, "duration": 36_000.0, "temperature": 350.0}


@pytest.mark.parametrize("model", ["soft_bounds_pair", "ecram"])
def test_what_has_settled_is_where_it_was_and_relaxes_on(model):
    """One pause at each of two temperatures, in the middle of time on the chip's own clock."""
    ends = {"top": 8.0, "bottom": 8.0} if model == "ecram" else {}
    card = make_card(
        model, n_levels=33, retention_rate=RATE, activation_energy=ENERGY, rest_level=0.0, lam_window=4.0, g_max=2.0,
        **ends,
    )  # fmt: skip
    cells = SynapseArray((30, 40), synapse_spec(card), Seeds(1, 1, 1), 0)
    cells.send(cells.all_cells, np.full(1200, 9, np.float32), 0, 0.0, 128, 128, 32)
    first = cells.lam.copy()
    cells.advance(1, 1e6)
    before = cells.lam.copy()
    cells._settle(cells.grid, 1e6)
    cells._refresh(cells.all_cells, 1e6)
    np.testing.assert_allclose(cells.lam, before, rtol=1e-6)
    cells.age(1, 1e6, 3e4, 340.0)
    cells.age(1, 1e6, 5e4, 280.0)
    cells.advance(2, 2e6)
    lost = rate(300) * 2e6 + rate(340) * 3e4 + rate(280) * 5e4
    np.testing.assert_allclose(cells.lam, first * math.exp(-lost), rtol=1e-4)


# Refreshes


@pytest.mark.parametrize(("model", "each"), [("pcm", 3), ("magneto_ionic", 1)])
def test_refreshes_are_charged_as_they_are_counted(model, each):
    values = {"n_pulses": 16.0} if model == "magneto_ionic" else {
        "step_floor": 1.0, "step_excess": 0.0, "refresh_above": 0.7, "refresh_common": 0.3, "drift": 0.0,
        "g_max": 2.0,
    }  # fmt: skip
    card = make_card(model, n_levels=33, lam_window=4.0, **values)
    chip = make_chip((30, 40, 4), synapses=synapse_spec(card))
    cells = chip.layers[0]
    counter = cells.storage.refreshes
    rng = np.random.default_rng(1)
    charged = 0
    for event in range(60):
        counts = rng.integers(0, 2, 1200).astype(np.float32) * 4 - 2
        before = getattr(cells.state, counter).astype(np.int64).reshape(30, 40)
        plain = cells.writing.of_list(cells.all_cells, counts, 8, 16, 4)
        done = cells.send(cells.all_cells, counts, event, 0.0, 8, 16, 4)
        new = (getattr(cells.state, counter).reshape(30, 40) - before) * each
        assert (done.pulses_up, done.pulses_down) == (plain.pulses_up, plain.pulses_down)
        assert done.refresh_pulses == new.sum()
        extra = done.tiles - plain.tiles
        tiles = [new[r : r + 8, c : c + 16] for r in range(0, 30, 8) for c in range(0, 40, 16)]
        assert extra[:, 0].tolist() == [np.count_nonzero(tile) for tile in tiles]
        assert not extra[:, 1].any()
        assert extra[:, 2].tolist() == [tile.sum() for tile in tiles]
        charged += done.refresh_pulses
    assert charged > 100
