"""Every registered device model, with every card it ships, keeps the promises of the contract; so can a stranger's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.cards import N_LEVELS, shipped_cards
from bimu_hw.devices import get_model, model_names
from bimu_hw.testing import SAMPLER_CHECKS, STORAGE_CHECKS, check_sampler, check_storage
from device_models import ideal_sampler, ideal_storage, soft_bounds_pair

OURS = {
    "ideal_storage", "soft_bounds_pair", "domain_wall_mtj", "pcm", "ecram", "sram", "magneto_ionic", "pulsed_array",
    "ideal_sampler", "smtj", "cmos_lfsr", "cmos_trng", "stt_mtj", "sot_mtj", "pcsa_memristor",
}  # fmt: skip


def _cases():
    checks = {"storage": STORAGE_CHECKS, "sampler": SAMPLER_CHECKS}
    for name, card in shipped_cards().items():
        model = get_model(card.model)
        for check in checks[model.role]:
            yield pytest.param(model, card, check, id=f"{name}-{check.__name__}")


@pytest.mark.parametrize(("model", "card", "check"), list(_cases()))
def test_registered_model_conforms(model, card, check):
    check(model, card)


def test_every_model_is_registered_and_has_a_card():
    assert set(model_names()) >= OURS
    assert {card.model for card in shipped_cards().values()} >= set(model_names())


# The suite itself: a model with one planted defect must fail the check that is there for it.


def _bad_position_noise(state, cells, counts, params, grid, key, now):
    state.level[cells] += counts + np.arange(cells.size, dtype=np.float32) * np.float32(1e-3)
    np.clip(state.level, -grid.level_max, grid.level_max, out=state.level)
    state.pulse_count[cells] += 1


def _bad_direction(state, cells, counts, params, grid, key, now):
    ideal_storage.pulse(state, cells, -counts, params, grid, key, now)


def _bad_bounds(state, cells, counts, params, grid, key, now):
    state.level[cells] += counts


def _bad_counter(state, cells, counts, params, grid, key, now):
    before = state.pulse_count.copy()
    ideal_storage.pulse(state, cells, counts, params, grid, key, now)
    state.pulse_count[:] = before


def _bad_neighbour(state, cells, counts, params, grid, key, now):
    ideal_storage.pulse(state, cells, counts, params, grid, key, now)
    if 0 < cells.size < state.level.size:
        state.level[(cells[0] + 1) % state.level.size] += np.float32(1e-3)


def _bad_read(state, params, grid, key, now, out):
    out[:] = state.level
    state.level[:] += np.float32(1e-3)


def _bad_peek(state, cells, params, grid, now, out):
    out[:] = state.level


STORAGE_DEFECTS = [
    ("pulse", _bad_position_noise, "lists_may_be_split"),
    ("pulse", _bad_direction, "pulses_move_the_right_way"),
    ("pulse", _bad_bounds, "levels_stay_in_bounds"),
    ("pulse", _bad_counter, "pulses_are_counted"),
    ("pulse", _bad_neighbour, "only_listed_cells_change"),
    ("pulse", _bad_direction, "neutral_is_ideal"),
    ("read", _bad_read, "looking_changes_nothing"),
    ("peek", _bad_peek, "looking_changes_nothing"),
    ("program", lambda state, target, params, grid, now: None, "program_honours_targets"),
]


@pytest.mark.parametrize(("kernel", "defect", "name"), STORAGE_DEFECTS)
def test_suite_finds_a_storage_defect(kernel, defect, name):
    model = replace(ideal_storage.MODEL, **{kernel: defect})
    card = shipped_cards()["ideal_storage"].with_values({"n_levels": 9}, {"n_levels": N_LEVELS}, "test")
    with pytest.raises(AssertionError, match="ideal_storage with card"):
        {c.__name__: c for c in STORAGE_CHECKS}[name](model, card)


def _pair_ignores_key(state, cells, counts, params, grid, key, now):
    soft_bounds_pair.pulse(state, cells, counts, params, grid, np.uint64(5), now)


def _pair_key_by_list(state, cells, counts, params, grid, key, now):
    soft_bounds_pair.pulse(state, cells, counts, params, grid, np.uint64(int(key) + cells.size), now)


def _pair_moves_stuck(state, cells, counts, params, grid, key, now):
    fault = state.fault.copy()
    state.fault[:] = 0
    soft_bounds_pair.pulse(state, cells, counts, params, grid, key, now)
    state.fault[:] = fault


def _pair_read_ignores_key(state, params, grid, key, now, out):
    soft_bounds_pair.read(state, params, grid, np.uint64(5), now, out)


def _pair_same_chip(state, params, grid, key):
    soft_bounds_pair.fabricate(state, params, grid, np.uint64(5))


PAIR_DEFECTS = [
    ("pulse", _pair_ignores_key, "noise_follows_the_key"),
    ("read", _pair_read_ignores_key, "noise_follows_the_key"),
    ("pulse", _pair_key_by_list, "noise_ignores_other_cells"),
    ("pulse", _pair_key_by_list, "lists_may_be_split"),
    ("pulse", _pair_moves_stuck, "stuck_devices_do_not_move"),
    ("fabricate", _pair_same_chip, "chips_differ"),
]


@pytest.mark.parametrize(("kernel", "defect", "name"), PAIR_DEFECTS)
def test_suite_finds_a_defect_of_noise(kernel, defect, name):
    model = replace(soft_bounds_pair.MODEL, **{kernel: defect})
    with pytest.raises(AssertionError, match="soft_bounds_pair with card 'hfox_2t2r'"):
        {c.__name__: c for c in STORAGE_CHECKS}[name](model, shipped_cards()["hfox_2t2r"])


def _sample_ignores_key(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(state, params, site, np.uint64(5), first, interval, now, out)


def _sample_inverted(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(state, params, site, key, first, interval, now, out)
    np.negative(out, out=out)


def _sample_depends_on_looks(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(state, params, site, np.uint64(int(key) + out.shape[0]), first, interval, now, out)


def _sample_ignores_first(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(state, params, site, key, 0, interval, now, out)


def _sample_remembers_in_secret(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(state, params, site, key, first, interval, now, out)
    state.threshold[:] += np.int32(1000) * out[-1]


def _bias_everything(state, lam, cells, params, site, now):
    ideal_sampler.bias(state, lam, np.arange(lam.size, dtype=np.int32), params, site, now)


def _advance_without_time(state, params, site, key, since, now):
    state.threshold[:] += 1


SAMPLER_DEFECTS = [
    ("sample", _sample_ignores_key, "draws_follow_the_key"),
    ("sample", _sample_inverted, "mean_follows_lam"),
    ("sample", _sample_inverted, "neutral_is_ideal"),
    ("sample", _sample_depends_on_looks, "more_looks_keep_the_first"),
    ("sample", lambda state, params, site, key, first, interval, now, out: None, "weights_are_binary"),
    ("sample", _sample_ignores_first, "first_counts_the_looks"),
    ("sample", _sample_remembers_in_secret, "draws_follow_the_key"),
    ("bias", _bias_everything, "bias_follows_its_list"),
    ("remembers", ("threshold",), "bias_follows_its_list"),
    ("advance", _advance_without_time, "time_passes_evenly"),
]


@pytest.mark.parametrize(("kernel", "defect", "name"), SAMPLER_DEFECTS)
def test_suite_finds_a_sampler_defect(kernel, defect, name):
    model = replace(ideal_sampler.MODEL, **{kernel: defect})
    with pytest.raises(AssertionError, match="ideal_sampler with card"):
        {c.__name__: c for c in SAMPLER_CHECKS}[name](model, shipped_cards()["ideal_sampler"])


def test_whole_suites_run_from_one_call():
    cards = shipped_cards()
    check_storage(ideal_storage.MODEL, cards["ideal_storage"])
    check_sampler(ideal_sampler.MODEL, cards["ideal_sampler"])
    with pytest.raises(AssertionError, match="the card is for 'ideal_storage'"):
        check_sampler(ideal_sampler.MODEL, cards["ideal_storage"])


STRANGER = '''
"""A stranger's device: every pulse falls short by a fixed share, plus Gaussian noise from the key."""

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels.bits import fill_normal


class Params(NamedTuple):
    shortfall: float
    sigma_c2c: float
    g_max: float


class State(NamedTuple):
    level: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


def fabricate(state, params, grid, key):
    pass


def program(state, target, params, grid, now):
    np.clip(target, -grid.level_max, grid.level_max, out=state.level)


def pulse(state, cells, counts, params, grid, key, now):
    noise = np.zeros(state.level.size, np.float32)
    fill_normal(np.uint64(key), noise)
    moved = counts * np.float32(1.0 - params.shortfall) + np.float32(params.sigma_c2c) * noise[cells]
    state.level[cells] = np.clip(state.level[cells] + moved, -grid.level_max, grid.level_max)
    sent = np.maximum(1, np.rint(np.abs(counts))).astype(np.int64)
    state.pulse_count[cells] = np.minimum(state.pulse_count[cells] + sent, 2**31 - 1)


def peek(state, cells, params, grid, now, out):
    out[cells] = state.level[cells]


def read(state, params, grid, key, now, out):
    out[:] = state.level


def conductance(state, params, grid, now, out):
    out[:, 0] = np.float32(params.g_max) / (1.0 + np.exp(-state.level))


CARD = """
[card]
name = "stranger_2026"
model = "stranger"
title = "a device from another package"

[params]
n_levels = {value = "11", kind = "assumed", why = "a test"}
shortfall = {value = "0.1", kind = "assumed", why = "a test"}
sigma_c2c = {value = "0.2", kind = "assumed", why = "a test"}
g_max = {value = "10 uS", kind = "assumed", why = "a test"}

[costs]
pulse_width_up = {value = "10 ns", kind = "assumed", why = "a test"}
pulse_width_down = {value = "10 ns", kind = "assumed", why = "a test"}
pulse_energy_up = {value = "1 pJ", kind = "assumed", why = "a test"}
pulse_energy_down = {value = "1 pJ", kind = "assumed", why = "a test"}
read_time = {value = "10 ns", kind = "assumed", why = "a test"}
read_energy = {value = "1 pJ", kind = "assumed", why = "a test"}
standby_power = {value = "0 W", kind = "assumed", why = "a test"}
area = {value = "1 um^2", kind = "assumed", why = "a test"}
"""

MODEL = StorageModel(
    name="stranger",
    family="memristor",
    summary="falls short",
    params=Params,
    state=State,
    specs=(
        ParamSpec("shortfall", "1", "share of a pulse that is lost", 0.0, 0.5, 0.0),
        ParamSpec("sigma_c2c", "1", "noise of an event in levels", 0.0, 1.0, 0.0),
        ParamSpec("g_max", "S", "largest conductance", 0.0),
    ),
    variables=(
        StateVar("level", "float32", "1", "level"),
        StateVar("pulse_count", "int32", "1", "pulses"),
        StateVar("fault", "int8", "1", "fault code"),
    ),
    fabricate=fabricate, program=program, pulse=pulse, peek=peek, read=read, conductance=conductance, cards=(CARD,),
)
'''

USE_STRANGER = """
from bimu_hw.cards import load_card
from bimu_hw.devices import get_model, model_names
from bimu_hw.testing import STORAGE_CHECKS, check_storage

assert "stranger" in model_names() and "ideal_storage" in model_names()
check_storage(get_model("stranger"), load_card("stranger_2026"))
print("passed", len(STORAGE_CHECKS))
"""


def test_a_device_from_another_package_conforms(tmp_path: Path):
    (tmp_path / "stranger_device.py").write_text(STRANGER)
    info = tmp_path / "stranger_device-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-device\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[bimu_hw.device_models]\nstranger = stranger_device:MODEL\n")
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    done = subprocess.run(
        [sys.executable, "-c", USE_STRANGER], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["passed", str(len(STORAGE_CHECKS))]
