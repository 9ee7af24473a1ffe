"""Cell architectures: sums by gates and counters, the names scenarios give to cells, and the comparison of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from building import ideal_arrays, make_card, make_chip, synapse_spec
from test_accelerator import RULE, components

from bimu_hw.accelerator.plan import WorkPlan
from bimu_hw.cli import run_commands
from bimu_hw.crossbar.cells_read import as_read
from bimu_hw.crossbar.chip import Encoded
from bimu_hw.errors import ScenarioError
from bimu_hw.operations import COMPONENTS, operation_index, phase_index
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario
from bimu_hw.scenario.cells import CELLS
from bimu_hw.studies.cells import candidates, compare_cells
from bimu_hw.studies.measure import measure

SCENARIO = Path(__file__).parents[1] / "scenarios" / "cell_architectures.toml"
COUNTED = {
    "accumulate": "popcount", "columns": "xnor", "inputs": "signed_bits", "gradient_bits": 4, "tile_wordlines": 5,
    "tile_bitlines": 4,
}  # fmt: skip


def counting_chip(accumulate="popcount", spread=0.3):
    sampler = as_read(make_card("ideal_sampler", g_spread=spread, read_time=1e-9, sample_time=1e-9), accumulate)
    arrays = ideal_arrays(**{**COUNTED, "accumulate": accumulate})
    return make_chip(arrays=arrays, synapses=synapse_spec(sampler=sampler, columns="xnor"))


def signs(n_plane=3, n_in=12):
    rng = np.random.default_rng(11)
    planes = rng.choice([-1.0, 1.0], (1, n_plane, n_in)).astype(np.float32)
    weight = 2.0 ** np.arange(n_plane, dtype=np.float32)
    return Encoded(planes, weight, np.einsum("p,bpi->bi", weight, planes).astype(np.float32))


def test_counted_sums_are_those_of_integers_whatever_the_conductances():
    example = signs()
    chip = counting_chip()
    chip.infer(example, 7, 0.0)
    first = chip._layers[0]
    for s in range(chip.n_sample):
        agree = sum(
            int(weight) * (2 * (first.weights[s] == plane[:, None]).sum(axis=0) - 12)
            for plane, weight in zip(example.planes[0], example.plane_weight, strict=True)
        )
        np.testing.assert_array_equal(first.y[s], agree)
    analog = counting_chip("analog")
    analog.infer(example, 7, 0.0)
    assert np.abs(analog._layers[0].y - first.y).max() > 0.01, "a current does feel the spread"


def test_a_plan_of_counted_sums_by_hand():
    chip = counting_chip()
    sampler = make_card("ideal_sampler", read_time=1e-9, sample_time=1e-9)
    parts = components(popcount_time=2e-9, driver_time=3e-9, adc_convert_time=1.0)
    plan = WorkPlan(
        chip, parts, make_card("ideal_storage", read_time=1e-9, pulse_width_up=1e-9, pulse_width_down=1e-9), sampler,
        input_slots=(1, 1, 1), input_bits=3, columns_per_adc=1, rule_operations=RULE.operations, relaxed=False,
    )  # fmt: skip
    popcount, adc = operation_index("popcount", "bit"), operation_index("adc", "convert")
    # [12, 9, 4], 3 samples; 3 planes at the input, 1 of activations.
    assert plan.inference.counts[:, popcount].tolist() == [3 * 3 * 12 * 9, 3 * 1 * 9 * 4, 0]
    assert plan.inference.total[adc] == 0
    # Rows of a tile of 5, a counter of 3 bits, the sampler's 1 ns: 3 planes of 3 + 8 x 2 ns.
    first, _, second, *_ = plan.inference_stages
    assert first.ticks == 1000 + 3 * (3000 + (5 + 3) * 2000)
    assert second.ticks == 1000 + 3000 + (5 + 3) * 2000
    backward = dict(plan.update)[phase_index("backward")]
    # Four bits and a plane of ones, 3 samples, layer 1 only; rows are word lines in this direction too.
    assert backward.counts[:, popcount].tolist() == [0, 5 * 3 * 9 * 4, 0]
    back = next(s for s in plan.update_stages if s.resource == "arrays" and s.biased)
    assert back.ticks == 5 * (3000 + (5 + 3) * 2000)
    # Gates and counters draw no current through the array.
    assert plan.joules_per_siemens == 0.0
    # Counters of 3 bits at each bit line of each of 3 and 2 rows of tiles, and an amplifier each.
    lines = 3 * 9 + 2 * 4
    assert plan.area["popcount"].count == 3 * lines
    assert plan.area["sense_amplifier"].count == lines
    assert plan.area["adc"].count == 0


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("crossbar.columns=differential", "compares each weight bit with its input bit"),
        ("crossbar.inputs=pulse_width", "gates take one bit of an input at a time"),
        ("crossbar.ir_drop=exact", "no current adds up in its wires"),
        ("crossbar.gradient_bits=0", "gates take one bit of a gradient at a time"),
        ("crossbar.adc_bits=6", "counts bits and converts no sum"),
        ("crossbar.columns_per_adc=8", "counts bits and converts no sum"),
        ("learning.gradient=relaxed", "crossbar.accumulate is 'popcount', not 'analog'"),
        ("device.cell=digitial", "Did you mean 'digital'?"),
    ],
)
def test_what_makes_no_sense_is_refused(override, sentence, capsys):
    overrides = [override] if override.startswith("device.cell") else ["device.cell=digital", override]
    arguments = ["validate", str(SCENARIO), *(word for o in overrides for word in ("--set", o))]
    assert run_commands(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_counting_prices_have_no_effect_on_currents():
    with pytest.raises(ScenarioError, match="sums are not counted bit by bit"):
        load_scenario(SCENARIO, ["components.params.popcount_time=2 ns"])


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_stands_for_keys_and_nothing_else(cell):
    named = load_scenario(SCENARIO, [f"device.cell={cell}"])
    written = load_scenario(SCENARIO, ["device.cell=", *(f"{key}={value}" for key, value in CELLS[cell].keys.items())])
    assert named.hash == written.hash
    assert "cell" not in named.resolved()["device"]
    assert load_scenario(SCENARIO, [f"device.cell={cell}", "device.storage=sram_65nm"]).storage_card.name == "sram_65nm"
    # What was given is kept as it was given: another cell can be put in its place.
    assert named.given["device"]["cell"] == cell
    assert "accumulate" not in named.given["crossbar"]


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_runs_and_pays_for_what_it_is_made_of(cell, tmp_path):
    few = [f"device.cell={cell}", "stream.tasks=1", "stream.examples=150", "evaluation.examples=60"]
    found = measure(load_scenario(SCENARIO, few), tmp_path)
    spent = dict(zip(COMPONENTS, found.per_query("inference"), strict=True))
    counted = CELLS[cell].keys["crossbar.accumulate"] == "popcount"
    assert (spent["popcount"] > 0.0) == counted
    assert (spent["adc"] == 0.0) == counted
    assert (spent["array"] == 0.0) == counted
    assert spent["sampler"] > 0.0
    assert sum(spent.values()) == pytest.approx(found.summary["energy_per_query_J"]["inference"])
    assert found.per_update().sum() == pytest.approx(found.summary["energy_per_update_J"])
    assert (found.summary["area_m2"]["popcount"] > 0.0) == counted
    # Ten classes: chance is 10 %, and 60 images have a standard deviation of 4 points around it.
    assert found.summary["accuracy_newest_task"] > 0.3


def test_a_latency_by_hand_of_the_digital_cell():
    run = Run(load_scenario(SCENARIO, ["device.cell=digital", "stream.examples=2"]))
    # Registers, 1 ns a row; 128 ns of drawing; 6 planes, or 1, of 1 ns of settling and rows + counter bits.
    stages = [s.ticks for s in run.plan.inference_stages if s.resource == "arrays"]
    assert stages[:2] == [1000 * (64 + 128 + 6 * (1 + 64 + 7)), 1000 * (128 + 128 + 1 * (1 + 128 + 8))]


def test_the_search_tries_the_same_settings_for_every_cell_and_the_scenario_first():
    scenario = load_scenario(SCENARIO)
    tried = candidates(scenario, 5)
    assert tried[0] == tuple(f"learning.{name}={value:.4g}" for name, value in scenario.rule_parameters.items())
    assert len(set(tried)) == 5
    assert tried[:3] == candidates(load_scenario(SCENARIO, ["device.cell=digital"]), 3)
    for setting in tried:
        for pair in setting:
            name, value = pair.removeprefix("learning.").split("=")
            assert 0.2499 < float(value) / scenario.rule_parameters[name] < 4.001


def test_the_comparison_goes_on_where_it_stopped_and_the_command_shows_it(tmp_path, capsys):
    few = ["stream.tasks=1", "stream.examples=20", "evaluation.examples=5"]
    cells = ("sot_rewritten", "digital")
    first = compare_cells(SCENARIO, tmp_path, cells=cells, seeds=1, settings=2, overrides=few)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert len(files) == 2 * (2 + 1)
    assert all(result.online == max(result.online, 0.0) for result in first)
    arguments = ["cells", str(SCENARIO), "--out", str(tmp_path), "--seeds", "1", "--settings", "2", "--quiet"]
    arguments += [word for cell in cells for word in ("--cell", cell)] + [word for o in few for word in ("--set", o)]
    assert run_commands(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == files
    said = capsys.readouterr().out
    for word in ("sot_rewritten", "digital", "energy per update", "inference alone", "dead zone"):
        assert word in said
    assert (tmp_path / "cells.png").stat().st_size > 10_000
    assert run_commands([*arguments, "--cell", "digitl"]) == 2
    assert "Did you mean 'digital'?" in capsys.readouterr().err
