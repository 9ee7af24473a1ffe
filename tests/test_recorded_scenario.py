"""A scenario rebuilt from the record of its run, wherever its files have gone; and what a run has learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bimu_hw.cards import COMPONENT_COSTS, Card
from bimu_hw.errors import BimuError, RunError, SchemaError
from bimu_hw.learning.data import load_dataset
from bimu_hw.record import SCHEMA_VERSION, lam_from_record
from bimu_hw.run import Run, provenance, run_scenario
from bimu_hw.scenario import load_scenario
from bimu_hw.scenario.recorded import RecordedCard, scenario_from_record

ROOT = Path(__file__).parents[1]
#: A sweep is many scenarios; tests/test_sweep_axes.py looks at those.
SHIPPED = sorted(path for path in (ROOT / "scenarios").glob("*.toml") if not path.stem.startswith("sweep_"))
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
SHORT = ("stream.examples=60", "stream.tasks=2", "evaluation.examples=5", "network.hidden=[7]")


def write_attrs(path, attrs):
    """Write a file that has only what a scenario is rebuilt from: the attributes of its root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    xr.DataTree(xr.Dataset(attrs={"schema_version": SCHEMA_VERSION, **attrs})).to_netcdf(path, engine="h5netcdf")
    return path


def record_of(scenario, path):
    return write_attrs(path / "run.nc", provenance(scenario))


def assert_same_scenario(found, wanted):
    assert found.hash == wanted.hash
    assert found.resolved() == wanted.resolved()
    # What idle keys are filled with is in no resolved scenario, and the chip gets it all the same.
    for name in type(wanted).model_fields:
        if name not in ("device", "components", "learning"):
            assert getattr(found, name) == getattr(wanted, name), name
    assert found.rule_parameters == wanted.rule_parameters
    assert (found.device.lam_max, found.device.residue_bits) == (wanted.device.lam_max, wanted.device.residue_bits)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_comes_back(path, tmp_path):
    anew = ["network.initial_lam=uniform"] if "initial_lam" in path.read_text(encoding="utf-8") else []
    wanted = load_scenario(path, anew, seed=3)
    found = scenario_from_record(record_of(wanted, tmp_path / wanted.run_name))
    assert_same_scenario(found, wanted)
    assert (found.name, found.run_name) == (wanted.name, wanted.run_name)
    for role in ("storage_card", "sampler_card", "component_card"):
        assert getattr(found, role) == getattr(wanted, role), role  # with sources and ranges


def test_a_real_run_comes_back_and_repeats_itself(tmp_path):
    wanted = load_scenario(QUICKSTART, SHORT)
    run_scenario(wanted, tmp_path / "first", progress=False)
    found = scenario_from_record(tmp_path / "first")
    assert_same_scenario(found, wanted)
    run_scenario(found, tmp_path / "second", progress=False)
    first, second = ((tmp_path / name / "run.nc").read_bytes() for name in ("first", "second"))
    assert first == second


@pytest.mark.parametrize(
    "overrides",
    [
        ("device.storage_params.n_levels=8", "device.sampler_params.g_on=\"0.3 mS\"", "accelerator.rate=1.5 kHz"),
        ("labels.latency=250 us", "record.snapshots=7", "device.temperature=350 K"),
        ("labels.policy=never", "labels.budget=", "labels.gamma=", "labels.latency=", "network.hidden=[]",
         "crossbar.gradient_bits="),
        ("accelerator.arrivals=back_to_back", "accelerator.rate=", "accelerator.queue=", "run.threads=2",
         "record.state=false"),
        ('ageing=[{after_task="every",duration="10 h",temperature="398 K"},'
         '{after_task=2,duration="1 day",temperature="300 K"}]',),
        ("expect=", "title=Another", "seeds.noise=9223372036854775807", "stream.examples=200"),
    ],
    ids=lambda overrides: overrides[0],
)  # fmt: skip
def test_what_was_set_on_the_command_line_comes_back(overrides, tmp_path):
    wanted = load_scenario(QUICKSTART, overrides)
    found = scenario_from_record(record_of(wanted, tmp_path))
    assert_same_scenario(found, wanted)
    for role in ("storage_card", "sampler_card", "component_card"):
        assert getattr(found, role) == getattr(wanted, role), role


def test_a_value_set_to_what_the_card_says_is_still_the_runs_own(tmp_path):
    plain = load_scenario(QUICKSTART)
    g_on = plain.sampler_card.costs["g_on"].value
    wanted = load_scenario(QUICKSTART, [f"device.sampler_params.g_on={g_on!r} S"])
    assert wanted.hash != plain.hash  # its provenance is another
    found = scenario_from_record(record_of(wanted, tmp_path))
    assert_same_scenario(found, wanted)
    assert isinstance(found.sampler_card, RecordedCard)


def in_a_folder_of_its_own(folder):
    """Write a scenario with cards and data of its own into a folder; return its path."""
    folder.mkdir(parents=True)
    text = QUICKSTART.read_text(encoding="utf-8")
    for card, place in (("dw_notched", "device_models/cards"), ("cmos_28nm", "bimu_hw/components")):
        own = (ROOT / place / f"{card}.toml").read_text(encoding="utf-8")
        (folder / f"my_{card}.toml").write_text(own.replace(f'name = "{card}"', f'name = "my_{card}"'))
        text = text.replace(f'"{card}"', f'"my_{card}.toml"')
    data = load_dataset("digits")
    np.savez(folder / "own.npz", x_train=data.x_train[:60], y_train=data.y_train[:60], x_test=data.x_test[:20],
             y_test=data.y_test[:20])  # fmt: skip
    path = folder / "mine.toml"
    path.write_text(text.replace('dataset = "digits"', 'dataset = "own.npz"'), encoding="utf-8")
    return path


def test_cards_that_were_files_may_be_gone(tmp_path, monkeypatch):
    path = in_a_folder_of_its_own(tmp_path / "elsewhere")
    wanted = load_scenario(path, ["device.storage_params.n_levels=8"])
    run = record_of(wanted, tmp_path / "run")
    here = scenario_from_record(run, tmp_path / "elsewhere")
    assert_same_scenario(here, wanted)
    assert type(here.storage_card) is Card
    assert here.storage_card == wanted.storage_card
    shutil.move(tmp_path / "elsewhere" / "own.npz", tmp_path / "run" / "own.npz")
    shutil.rmtree(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    gone = scenario_from_record(run)  # the data set lies beside the run
    assert_same_scenario(gone, wanted)
    assert gone.dataset == tmp_path / "run" / "own.npz"
    for role in ("storage_card", "component_card"):
        card, was = getattr(gone, role), getattr(wanted, role)
        assert isinstance(card, RecordedCard)
        assert card.digest == was.digest
        assert {k: f.value for k, f in card.costs.items()} == {k: f.value for k, f in was.costs.items()}
        assert {k: (f.value, f.unit) for k, f in card.params.items()} == {
            k: (f.value, f.unit) for k, f in was.params.items()
        }


def test_a_recorded_card_with_another_price_is_another_card(tmp_path):
    path = in_a_folder_of_its_own(tmp_path / "elsewhere")
    run = record_of(load_scenario(path), tmp_path / "run")
    (tmp_path / "elsewhere" / "my_cmos_28nm.toml").unlink()
    card = scenario_from_record(run, tmp_path / "elsewhere").component_card
    other = card.with_values({"sense_energy": 1e-15}, COMPONENT_COSTS, "test")
    assert isinstance(card, RecordedCard)
    assert other.costs["sense_energy"].value == 1e-15
    assert other.digest != card.digest


def test_a_card_that_has_changed_since_is_not_used(tmp_path):
    path = in_a_folder_of_its_own(tmp_path / "elsewhere")
    wanted = load_scenario(path)
    run = record_of(wanted, tmp_path / "run")
    card = tmp_path / "elsewhere" / "my_cmos_28nm.toml"
    card.write_text(card.read_text(encoding="utf-8").replace('why = "one clock', 'why = "some clock')
                    .replace('range = ["0.2 ns", "10 ns"]', 'range = ["0.3 ns", "10 ns"]'))  # fmt: skip
    found = scenario_from_record(run, tmp_path / "elsewhere")
    assert_same_scenario(found, wanted)
    assert isinstance(found.component_card, RecordedCard)


def test_a_data_set_that_is_gone_is_named(tmp_path, monkeypatch):
    path = in_a_folder_of_its_own(tmp_path / "elsewhere")
    run = record_of(load_scenario(path), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"data set 'own.npz' is not there; looked in '\.' and '.*run'"):
        scenario_from_record(run)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert scenario_from_record(run).dataset == Path("own.npz")


def changed(attrs, change):
    content = json.loads(attrs["resolved_scenario"])
    change(content)
    return {**attrs, "resolved_scenario": json.dumps(content)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["crossbar"].update(adc_bits=7), "has hash"),
        (lambda c: c["cards"]["sampler"]["costs"].update(g_on=1e-3), "has hash"),
        (lambda c: c["crossbar"].update(adc_colour="red"), "adc_colour: unknown key"),
        (lambda c: c["crossbar"].pop("adc_bits"), "crossbar.adc_bits: missing"),
        (lambda c: c["cards"]["sampler"]["costs"].pop("g_on"), "has a new number 'g_on'"),
        (lambda c: c["cards"]["storage"]["costs"].update(price=1.0), "no longer has a number 'price'"),
        (lambda c: c["cards"]["storage"].update(model="not_installed"), "not_installed"),
        (lambda c: c["cards"]["storage"].update(model="smtj"), "another role"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused_in_one_sentence(change, words, tmp_path):
    attrs = {**provenance(load_scenario(QUICKSTART)), "bimu_hw_version": "0.0.9"}
    path = write_attrs(tmp_path / "run.nc", changed(attrs, change))
    with pytest.raises(RunError) as caught:
        scenario_from_record(path)
    message = str(caught.value)
    assert words in message
    assert "written by bimu-hw 0.0.9" in message
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"resolved_scenario": "{}", "scenario_hash": "x"},
        {"resolved_scenario": "no json", "scenario_hash": "x"},
        {"resolved_scenario": "[]", "scenario_hash": "x"},
    ],
)
def test_a_record_without_a_scenario_is_refused(attrs, tmp_path):
    with pytest.raises(SchemaError, match="holds no complete scenario"):
        scenario_from_record(write_attrs(tmp_path / "run.nc", attrs))


def test_no_run_at_all(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        scenario_from_record(tmp_path)
    (tmp_path / "run.nc").write_text("text")
    with pytest.raises(BimuError, match="NetCDF"):
        scenario_from_record(tmp_path)


# What a run has learned


def test_the_final_lam_of_a_run(tmp_path):
    scenario = load_scenario(QUICKSTART, SHORT)
    run_scenario(scenario, tmp_path, progress=False)
    found = lam_from_record(tmp_path, [(64, 7), (7, 10)])
    run = Run(scenario)
    run.accelerator.run()
    assert [lam.dtype for lam in found] == [np.float32, np.float32]
    for lam, synapses in zip(found, run.chip.layers, strict=True):
        np.testing.assert_array_equal(lam.ravel(), synapses.lam)
    assert np.abs(found[0]).max() > 0.5  # it has learned something


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(64, 8), (8, 10)], "has layers of 64 x 7 and 7 x 10 synapses; this network needs 64 x 8 and 8 x 10"),
        ([(64, 7)], "this network needs 64 x 7"),
        ([], "this network needs none"),
    ],
)
def test_layers_of_another_network_are_refused(shapes, words, tmp_path):
    run_scenario(load_scenario(QUICKSTART, (*SHORT, "stream.examples=4")), tmp_path, progress=False)
    with pytest.raises(RunError, match=words):
        lam_from_record(tmp_path, shapes)


def test_a_run_without_states_has_no_lam(tmp_path):
    run_scenario(load_scenario(QUICKSTART, (*SHORT, "stream.examples=4", "record.state=false")), tmp_path,
                 progress=False)  # fmt: skip
    with pytest.raises(RunError, match="holds no states"):
        lam_from_record(tmp_path, [(64, 7), (7, 10)])
    with pytest.raises(RunError, match="no such file"):
        lam_from_record(tmp_path / "nowhere", [])
