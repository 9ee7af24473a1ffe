"""Sweeps on paper, and ablations: means over seeds, effects of nonidealities, the cells that measure them, the page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bimu_hw
from bimu_hw.analysis.sweeps import mean_over_seeds, points_of, sweep_axes
from bimu_hw.errors import ScenarioError, SchemaError
from bimu_hw.report import sweep_page
from bimu_hw.report.ablation import ablation_differences, ablation_rows
from bimu_hw.sweep.ablate import ablation_plan, nonidealities_of, variants

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"


def results(accuracy, axis, values, energy=None):
    """Return results of a sweep over one axis, [axis, seed], as bimu-hw collect makes them."""
    accuracy = np.asarray(accuracy, float)
    energy = np.full(accuracy.shape, 1e-9) if energy is None else np.asarray(energy, float)
    status = np.where(np.isnan(accuracy), 1, 0).astype(np.int8)
    flags = {"flag_values": np.arange(5, dtype=np.int8), "flag_meanings": "done missing failed killed timed_out"}
    attrs = {
        **tables(), "title": "A <sweep>", "n_cells": accuracy.size, "n_done": int((status == 0).sum()),
        "sweep": json.dumps({"common_random_numbers": True}), "source_digest": "0" * 64, "cpu": "one",
        "bimu_hw_version": "0",
    }  # fmt: skip
    dims = (axis, "seed")
    return xr.Dataset(
        {
            "status": (dims, status, flags),
            "accuracy": (dims, accuracy, {"units": "1", "long_name": "accuracy"}),
            "energy_per_query_all": (dims, energy, {"units": "J", "long_name": "energy per query"}),
            "assumed_energy_fraction": (dims, np.full(accuracy.shape, 0.5), {"units": "1"}),
        },
        coords={axis: (axis, values, {"units": "1", "key": "a.key"}), "seed": np.arange(accuracy.shape[1])},
        attrs=attrs,
    )  # fmt: skip


def tables():
    """Return the attributes of results that hold a scenario."""
    cards = {"storage": ["dw_notched"], "sampler": ["smtj_50ns"], "components": ["cmos_28nm", "mine"]}
    return {
        "scenario": json.dumps({"claim": "a < b"}), "cards": json.dumps(cards),
        "resolved_scenario": json.dumps(bimu_hw.load_scenario(QUICKSTART).resolved()),
    }  # fmt: skip


def test_means_are_over_the_seeds_that_are_there():
    data = results([[0.2, 0.4, np.nan], [0.6, 0.6, 0.6]], "levels", [2.0, 4.0])
    found = mean_over_seeds(data, "accuracy")
    np.testing.assert_allclose(found["mean"], [0.3, 0.6])
    np.testing.assert_array_equal(found["n_seeds"], [2, 3])
    np.testing.assert_allclose([found["low"][0], found["high"][0]], [0.2, 0.4])  # of two values, both ends
    assert float(found["low"][1]) == float(found["high"][1]) == pytest.approx(0.6)
    np.testing.assert_allclose(mean_over_seeds(data, "accuracy", [])["mean"], np.mean([0.4, 0.5, 0.6]))
    assert sweep_axes(data) == ["levels"]
    with pytest.raises(ScenarioError, match="Did you mean 'accuracy'"):
        mean_over_seeds(data, "acuracy")
    with pytest.raises(SchemaError, match="no results of a sweep"):
        sweep_axes(data.drop_vars("status"))


def test_points_know_whether_they_are_on_the_front():
    energy = [[1e-9, 1e-9], [2e-9, 2e-9], [3e-9, 3e-9]]
    data = results([[0.5, 0.5], [0.4, 0.4], [0.9, 0.7]], "levels", [2.0, 4.0, 8.0], energy)
    found = points_of(data, {"energy_per_query_all": "min", "accuracy": "max"})
    np.testing.assert_array_equal(found["pareto_front"], [True, False, True])
    np.testing.assert_array_equal(found["levels"], [2.0, 4.0, 8.0])


def test_an_effect_is_the_mean_of_differences_of_equal_seeds():
    words = ["as described", "without any", "without noise", "noise alone", "without drift", "drift alone"]
    common = np.array([0.0, 0.05, -0.03])  # what a seed adds everywhere cancels
    accuracy = np.array([0.60, 0.90, 0.75, 0.70, 0.65, 0.88])[:, None] + common
    data = results(accuracy, "variant", words)
    found = ablation_differences(data)["accuracy"]
    np.testing.assert_allclose(found["difference"].sel(nonideality="noise"), [-0.15, -0.20], atol=1e-12)
    np.testing.assert_allclose(found["difference"].sel(nonideality="drift"), [-0.05, -0.02], atol=1e-12)
    np.testing.assert_allclose(found["low"], found["high"], atol=1e-12)
    header, rows = ablation_rows(ablation_differences(data))
    assert header[1] == "accuracy, among the others"
    assert rows[0][:2] == ["noise", "−15.0 points (−15.0 to −15.0)"]
    with pytest.raises(SchemaError, match="not that of an ablation"):
        ablation_differences(data.rename(variant="level"))


def test_every_nonideality_is_turned_off_and_left_alone():
    scenario = bimu_hw.load_scenario(QUICKSTART)
    each = nonidealities_of(scenario)
    assert {"stuck", "sigma_d2d", "read_noise", "finite_levels", "output_converters", "g_spread"} <= set(each)
    points = variants(scenario)
    assert len(points) == 2 + 2 * len(each)
    for name in each:
        off, alone = points[f"without {name}"], points[f"{name} alone"]
        assert off == each[name]
        others = {key for other, keys in each.items() if other != name for key in keys}
        assert set(alone) == others
        assert set(off) | set(alone) == set(points["without any"])


def test_the_cells_of_an_ablation_are_scenarios(tmp_path):
    plan = ablation_plan(QUICKSTART, ["network.hidden=[8]"], "0:2")
    assert plan.sizes == {"variant": len(variants(bimu_hw.load_scenario(QUICKSTART))), "seed": 2}
    words = plan.coordinates[0].values
    ideal = bimu_hw.make_scenario(plan.content(2 * words.index("without any")), folder=plan.folder)
    with pytest.raises(ScenarioError, match="ideal hardware already"):
        variants(ideal)
    described = bimu_hw.make_scenario(plan.content(0), folder=plan.folder)
    assert described.hash == bimu_hw.load_scenario(QUICKSTART, ["network.hidden=[8]"], 0).hash


@pytest.mark.parametrize("complete", [True, False])
def test_the_page_of_a_sweep(complete, monkeypatch, tmp_path):
    accuracy = [[0.6, 0.62], [0.9, 0.91 if complete else np.nan]]
    monkeypatch.setattr(sweep_page, "collect", lambda folder: results(accuracy, "variant", ["as described", "b<c"]))
    undrawn = lambda drawings, out: [(b"<svg/>", d.caption, (), False) for d in drawings]  # noqa: E731
    monkeypatch.setattr(sweep_page, "draw_all", undrawn)
    page = sweep_page.report_sweep(tmp_path).read_text(encoding="utf-8")
    text = " ".join(ET.fromstring(page.removeprefix("<!DOCTYPE html>")).itertext())
    assert "A <sweep>" in text
    assert ("Incomplete: 1 of 4 cells are not finished (1 missing)" in text) == (not complete)
    assert "50.0 % to 50.0 % of the energy rests on values that are assumed" in text
    assert "sources are not listed: mine" in text
    assert (tmp_path / "report" / "references.bib").read_text(encoding="utf-8").count("@") > 5


def test_results_over_an_axis_are_drawn(monkeypatch, tmp_path):
    data = results([[0.6, 0.62], [0.9, np.nan]], "levels", [2.0, 4.0])
    drawings = [sweep_page._drawing(data, "levels", ["levels"]), *sweep_page._pareto(data, ["levels"])]
    for svg, *_ in sweep_page.draw_all(drawings[:1], tmp_path):
        ET.fromstring(svg)
    assert [d.name for d in drawings] == ["axis_levels", "pareto"]


def test_pauses_go_with_the_last_thing_that_feels_them():
    """A store that relaxes, and p-bits that remember: a pause stays while one of both is there."""
    options = (
        "device.storage=hfox_2t2r", "device.storage_params.retention_rate=1e-7 1 / s",
        "device.storage_params.activation_energy=1.1 eV",
        "ageing=[{after_task=1,duration='10 h',temperature='350 K'}]",
    )  # fmt: skip
    plan = ablation_plan(QUICKSTART, options, "0:1")
    (axis,) = plan.axes
    column = axis.keys.index("ageing")
    paused = {row[axis.keys.index("title")]: row[column] != "" for row in axis.rows}
    assert paused["as described"]
    assert not paused["without any"]
    for name in nonidealities_of(bimu_hw.load_scenario(QUICKSTART, options)):
        assert paused[f"without {name}"]
        assert paused[f"{name} alone"] == (name in ("retention_rate", "relaxation_time"))
