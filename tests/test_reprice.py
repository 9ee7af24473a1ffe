"""Pricing again equals simulating again, and what is no price is refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import xarray as xr

import bimu_hw
from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError
from bimu_hw.report.summary import summarise
from bimu_hw.reprice import reprice

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
SHORT = ("stream.examples=120", "stream.tasks=2", "stream.epochs=1", "evaluation.examples=5", "network.hidden=[20]")
CARDS = {
    "components": ROOT / "bimu_hw" / "components" / "cmos_28nm.toml",
    "storage": ROOT / "device_models" / "cards" / "dw_notched.toml",
    "sampler": ROOT / "device_models" / "cards" / "smtj_50ns.toml",
}
#: Other prices for each card: a range gone, one wider, a zero, another kind.
PRICES = {
    "components": {
        "adc_convert_energy": "2.5 pJ", "digital_mac_energy": "0.41 pJ", "leakage_power": "77 uW",
        "adc_area": "500 um^2", "buffer_read_energy": "33 fJ", "line_reference_cells": "64",
        "write_row_energy": "0 J", "r_driver": "77 ohm",
    },
    "storage": {"pulse_energy_up": "1.7 pJ", "read_energy": "11 fJ", "standby_power": "3 pW", "area": "0.7 um^2"},
    "sampler": {"sample_energy": "9 fJ", "bias_power": "1 uW", "latch_energy": "2 fJ"},
}  # fmt: skip


def other_card(folder: Path, role: str, **values: str) -> str:
    """Write a card that differs from the quickstart's in some values, and return its path."""
    text = CARDS[role].read_text(encoding="utf-8")
    for key, value in values.items():
        section = rf"(\[(?:costs|params)\.{key}\]\nvalue = )\"[^\"]*\"(.*?)(?=\n\[|\Z)"
        text, n = re.subn(
            section, lambda m, v=value: f'{m[1]}"{v}"{re.sub(r"range = .*", "", m[2])}', text, flags=re.S
        )
        assert n == 1, key
    path = folder / f"{role}_{len(list(folder.iterdir()))}.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def simulate(folder: Path, *overrides: str) -> Path:
    scenario = bimu_hw.load_scenario(QUICKSTART, (*SHORT, *overrides))
    return bimu_hw.run_scenario(scenario, folder, progress=False).path


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("base") / "run")


@pytest.mark.parametrize(
    "overrides",
    [(), ("record.per_query_limit=17", "labels.latency=3 ms", "labels.energy=2 uJ", "accelerator.power_gating=false",
          "components.params.digital_add_energy=70 fJ", "crossbar.columns=reference")],
    ids=["each query", "blocks of queries, late labels"],
)  # fmt: skip
def test_pricing_again_equals_simulating_again(base, tmp_path, overrides):
    first = simulate(tmp_path / "first", *overrides) if overrides else base
    names = {role: other_card(tmp_path, role, **PRICES[role]) for role in CARDS}
    keys = {"components": "components.card", "storage": "device.storage", "sampler": "device.sampler"}
    again = simulate(tmp_path / "again", *overrides, *(f"{keys[role]}={name}" for role, name in names.items()))
    priced = reprice(first, names)
    with bimu_hw.open_run(again) as simulated, bimu_hw.open_run(first) as before:
        assert priced.attrs == simulated.attrs
        for node in simulated.subtree:
            xr.testing.assert_identical(priced[node.path].to_dataset(inherit=False), node.to_dataset(inherit=False))
        changed = priced["ledger/energy"] != before["ledger/energy"]
        assert {str(c) for c in priced["ledger/component"].values[changed.any(("phase", "layer")).values]} >= {
            "adc", "digital", "sampler", "storage", "buffer", "leakage", "driver",
        }  # fmt: skip
        assert priced["queries"].sizes["query"] == (15 if overrides else 120)
        summary = json.loads((again / "summary.json").read_text(encoding="utf-8"))
        mine = json.loads(json.dumps(summarise(priced)).replace("NaN", "null"))
        assert mine == summary
        assert float(priced["area/area"].sum()) != float(before["area/area"].sum())


@pytest.mark.parametrize(
    ("role", "key", "value", "words"),
    [
        ("components", "adc_convert_time", "10 ns", "is 7.77778 ns, and 7 ns in the run"),
        ("components", "digital_lanes", "32", "is 32, and 64 in the run"),
        ("components", "adc_offset", "0.5", "is 0.5, and 0 in the run"),
        ("storage", "read_time", "7 ns", "is 7 ns, and "),
        ("storage", "n_levels", "8", "is 8, and 16 in the run"),
        ("sampler", "g_on", "166 uS", "is 166 µS, and 165 µS in the run"),
        ("sampler", "read_voltage", "0.11 V", "is 110 mV, and 100 mV in the run"),
    ],
)
def test_what_is_no_price_is_refused_by_name(base, tmp_path, role, key, value, words):
    with pytest.raises(RunError, match=rf"^{role} card '\w+', {key}: {re.escape(words)}.*simulate it\.$") as caught:
        reprice(base, {role: other_card(tmp_path, role, **{key: value})})
    assert "\n" not in str(caught.value)


def test_another_physics_is_refused(base):
    with pytest.raises(RunError, match=r"storage card 'hfox_2t2r': is of model 'soft_bounds_pair'.*simulate it\."):
        reprice(base, {"storage": "hfox_2t2r"})


def test_wires_matter_only_where_they_are_simulated(base, tmp_path):
    card = other_card(tmp_path, "components", r_wordline="3 ohm")
    with bimu_hw.open_run(base) as before:
        xr.testing.assert_identical(reprice(base, {"components": card})["ledger/energy"], before["ledger/energy"])


def test_the_command(base, tmp_path, capsys):
    card = other_card(tmp_path, "components", **PRICES["components"])
    out = tmp_path / "out.nc"
    assert run_commands(["reprice", str(base), "--components", card, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "energy per query, inference only" in printed
    assert f"Written to {out}" in printed
    with bimu_hw.open_run(out) as written:
        xr.testing.assert_identical(written["ledger/energy"], reprice(base, {"components": card})["ledger/energy"])
    # What was priced again can be priced back.
    with bimu_hw.open_run(base) as before:
        xr.testing.assert_identical(
            reprice(out, {"components": "cmos_28nm"})["queries"].to_dataset(), before["queries"].to_dataset()
        )
    for arguments, text in [
        ([], "no card is given"),
        (["--components", card, "-o", str(out)], "exists"),
        (["--components", card, "-o", str(tmp_path / "x.txt")], "the ending .nc"),
        (["--components", card, "-o", str(tmp_path / "none" / "x.nc")], "folder does not exist"),
        (["--components", "cmos_29nm"], "Did you mean 'cmos_28nm'"),
    ]:
        assert run_commands(["reprice", str(base), *arguments]) == 2
        error = capsys.readouterr().err
        assert text in error
        assert error.count("\n") == 1
