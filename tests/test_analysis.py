"""The analysis against plain NumPy, closed forms and what the run itself measured; units, names, laziness."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr

import bimu_hw
from bimu_hw import analysis
from bimu_hw.errors import ScenarioError, SchemaError
from bimu_hw.units import parse_quantity


@pytest.fixture(scope="module")
def run(short_run):
    with bimu_hw.open_run(short_run) as tree:
        yield tree


@pytest.fixture(scope="module")
def summary(short_run):
    return json.loads((short_run / "summary.json").read_text(encoding="utf-8"))


def random_layer(n_snapshot=3, shape=(7, 5), n_devices=1, seed=1):
    """Return a layer of noise, with pairs of devices if asked."""
    rng = np.random.default_rng(seed)
    cells = (n_snapshot, *shape)
    each = (*cells, n_devices) if n_devices > 1 else cells
    dims = ("snapshot", "wordline", "bitline")
    device = (*dims, "device") if n_devices > 1 else dims
    level = rng.integers(0, 9, cells)
    return xr.Dataset(
        {
            "level": (dims, level.astype(np.float32)), "lam": (dims, (level - 4.0).astype(np.float32)),
            "requested": (dims, np.cumsum(rng.normal(0.0, 1.5, cells), axis=0)),
            "pulse_count": (device, np.cumsum(rng.integers(0, 2, each), axis=0).astype(np.int32)),
            "fault": (device, rng.integers(0, 5, each).astype(np.int8)),
        },
        coords={"example": ("snapshot", np.arange(n_snapshot) * 10)},
    )  # fmt: skip


@pytest.mark.parametrize("n_devices", [1, 2])
def test_freezing_over_snapshots_counts_cells(n_devices):
    layer = random_layer(n_devices=n_devices)
    grid = analysis.LevelGrid(9, 4.0)
    names = (
        "plasticity", "entropy", "saturated_fraction", "sign_flip_rate", "dead_zone_fraction", "rail_fraction",
        "worn_out_fraction", "stuck_fraction", "pulses_per_cell",
    )  # fmt: skip
    found = analysis.freezing_over_snapshots(layer, names, grid)
    lam, asked = layer["lam"].values.astype(float), layer["requested"].values
    pulses, fault = (layer[name].values.reshape(*lam.shape, -1) for name in ("pulse_count", "fault"))
    for t in range(3):
        cells = list(np.ndindex(lam.shape[1:]))
        p = [1.0 / (1.0 + math.exp(-2.0 * lam[t][c])) for c in cells]
        bits = [-(x * math.log2(x) + (1 - x) * math.log2(1 - x)) for x in p]
        expected = {
            "plasticity": np.mean([1.0 - math.tanh(lam[t][c]) ** 2 for c in cells]),
            "entropy": np.mean(bits),
            "saturated_fraction": np.mean([abs(lam[t][c]) > 2.5 for c in cells]),
            "worn_out_fraction": np.mean([(fault[t][c] == 4).any() for c in cells]),
            "stuck_fraction": np.mean([np.isin(fault[t][c], (1, 2, 3)).any() for c in cells]),
            "pulses_per_cell": np.mean([pulses[t][c].sum() for c in cells]),
            "sign_flip_rate": np.nan, "dead_zone_fraction": np.nan, "rail_fraction": np.nan,
        }  # fmt: skip
        if t > 0:
            new = {c: asked[t][c] - asked[t - 1][c] for c in cells}
            sent = {c: pulses[t][c].sum() - pulses[t - 1][c].sum() for c in cells}
            expected |= {
                "sign_flip_rate": np.mean([lam[t][c] * lam[t - 1][c] < 0 for c in cells]),
                "dead_zone_fraction": np.mean([abs(new[c]) >= 1.0 and sent[c] == 0 for c in cells]),
                "rail_fraction": np.mean([abs(lam[t][c]) == 4.0 and lam[t][c] * new[c] > 0 for c in cells]),
            }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name].values[t], value, rtol=1e-6, err_msg=f"{name}, snapshot {t}")


def test_reading_in_pieces_changes_nothing(monkeypatch):
    layer = random_layer(n_snapshot=5)
    layer["lam"].encoding["chunksizes"] = (2, 7, 5)
    whole = analysis.freezing_over_snapshots(layer)
    occupied = analysis.occupancy_over_snapshots(layer, 9)
    monkeypatch.setattr("bimu_hw.analysis.freezing._BLOCK", 20)
    xr.testing.assert_allclose(analysis.freezing_over_snapshots(layer), whole, rtol=1e-12)
    xr.testing.assert_allclose(analysis.occupancy_over_snapshots(layer, 9), occupied, rtol=1e-12)


def test_a_continuous_store_has_neither_dead_zone_nor_rail():
    names = ("dead_zone_fraction", "rail_fraction")
    found = analysis.freezing_over_snapshots(random_layer(), names, analysis.LevelGrid(0, np.inf))
    assert all((found[name].values[1:] == 0.0).all() for name in names)


def test_snapshots_at_the_end_of_tasks_say_what_the_run_measured(run):
    measured = run.bimu.freezing("task")
    names = ("plasticity", "entropy", "saturated_fraction", "stuck_fraction", "worn_out_fraction")
    maps = run.bimu.freezing("snapshot", names)
    ends = [list(maps["example"].values).index(end) for end in measured["example"].values]
    for name in names:
        there = maps[name].transpose("snapshot", "layer").values[ends]
        np.testing.assert_allclose(there, measured[name].values, rtol=1e-5, err_msg=name)


def test_time_to_freeze_lies_on_the_line_between_two_looks(run):
    found = run.bimu.freezing("snapshot", ("plasticity",)).isel(layer=0)
    at, plasticity = found["example"].values, found["plasticity"].values
    fall = int(np.argmax(plasticity[1:] < plasticity[:-1]))
    assert plasticity[: fall + 1].min() > plasticity[fall + 1]
    middle = 0.5 * (plasticity[fall] + plasticity[fall + 1])
    frozen = run.bimu.time_to_freeze("plasticity", middle, by="snapshot")
    assert float(frozen[0]) == pytest.approx(0.5 * (at[fall] + at[fall + 1]))
    assert np.isnan(run.bimu.time_to_freeze("plasticity", 0.0, by="snapshot")).all()
    # What compares with the snapshot before has no value at the first one.
    found = run.bimu.freezing("snapshot", ("sign_flip_rate",)).isel(layer=0)
    flips = found["sign_flip_rate"].values
    assert np.isnan(flips[0])
    first = run.bimu.time_to_freeze("sign_flip_rate", 0.5 * flips[1], by="snapshot", rising=True)
    assert float(first[0]) == found["example"].values[1]


def test_level_occupancy():
    np.testing.assert_array_equal(analysis.level_occupancy([[0, 1.4], [3, 7]], 4), [0.25, 0.25, 0.0, 0.5])
    with pytest.raises(ScenarioError, match="at least one cell and 2 levels"):
        analysis.level_occupancy([], 4)


def test_occupancy_of_a_run_adds_up_to_one(run):
    occupied = run.bimu.occupancy(1)
    np.testing.assert_allclose(occupied.sum("level"), 1.0, rtol=1e-12)
    level = run["layer_1/level"].values[-1]
    np.testing.assert_allclose(occupied.values[-1], [(np.rint(level) == k).mean() for k in range(16)])


def test_continual_learning_of_a_known_matrix():
    r = np.array([[0.9, np.nan, np.nan], [0.8, 0.9, np.nan], [0.6, 0.7, 0.8]])
    found = analysis.continual_learning(r, k=2)
    assert float(found["accuracy"]) == pytest.approx(0.7)
    assert float(found["accuracy_last_k"]) == pytest.approx(0.75)
    assert float(found["backward_transfer"]) == pytest.approx(-0.25)
    assert float(found["memory_rigidity_resilience"]) == pytest.approx(1.0 / (0.1 + 1e-5))
    np.testing.assert_allclose(found["seen_accuracy"], [0.9, 0.85, 0.7])
    np.testing.assert_allclose(found["forgetting"], [0.3, 0.2, 0.0], atol=1e-15)
    r[2, 0] = np.nan
    gap = analysis.continual_learning(r)
    assert np.isnan(gap["backward_transfer"])
    assert np.isnan(gap["accuracy_last_k"])
    assert float(gap["accuracy"]) == pytest.approx(0.75)


def test_the_accessor_says_what_the_summary_says(run, summary):
    learned = run.bimu.continual_learning()
    for name in ("accuracy", "accuracy_last_k", "accuracy_newest_task", "backward_transfer"):
        assert float(learned[name]) == pytest.approx(summary[name], rel=1e-12), name
    for figure in ("inference", "label", "update", "all"):
        found = run.bimu.energy_per_query((), figure)
        assert float(found["energy"]) == pytest.approx(summary["energy_per_query_J"][figure], rel=1e-12)
        ends = summary["energy_per_query_interval_J"][figure]
        np.testing.assert_allclose([float(found["low"]), float(found["high"])], ends, rtol=1e-12)
    latency = run.bimu.latency((0.5, 0.99))
    # The summary has them from a histogram that is right to a thousandth.
    np.testing.assert_allclose(latency, [summary["latency_s"]["p50"], summary["latency_s"]["p99"]], rtol=2e-3)


def test_energy_adds_up_however_it_is_grouped(run):
    total = float(run.bimu.energy(())["energy"])
    ledger = run["ledger"].to_dataset()
    assert total == pytest.approx(float(ledger["energy"].sum()), rel=1e-12)
    single = ("phase", "layer", "component", "operation", "kind", "card")
    for by in (*single, ("kind", "phase"), ("layer", "card", "phase")):
        found = run.bimu.energy(by)
        assert float(found["energy"].sum()) == pytest.approx(total, rel=1e-12), by
        assert found["energy"].dims == ((by,) if isinstance(by, str) else by)
    by_component = run.bimu.energy(("phase", "component"))["energy"]
    kept = ledger["energy"].sum([d for d in ledger["energy"].dims if d not in ("phase", "component")])
    found = by_component.sel(component=kept["component"])
    np.testing.assert_allclose(found, kept.transpose(*by_component.dims), rtol=1e-12)


def test_unknown_words_are_refused_in_a_sentence(run):
    with pytest.raises(ScenarioError, match="Did you mean 'component'"):
        run.bimu.energy("componnt")
    with pytest.raises(ScenarioError, match="Did you mean 'inference'"):
        run.bimu.energy("component", "inferrence")
    with pytest.raises(ScenarioError, match="Did you mean 'plasticity'"):
        run.bimu.freezing("task", ["plastcity"])
    with pytest.raises(ScenarioError, match="LevelGrid"):
        analysis.freezing_over_snapshots(random_layer(), ["rail_fraction"])
    with pytest.raises(SchemaError, match="no group /queries"):
        _ = xr.DataTree().bimu.latency()
    with pytest.raises(SchemaError, match="not in this dataset"):
        random_layer().bimu.latency()
    with pytest.raises(ScenarioError, match="0 to 1"):
        run.bimu.occupancy(7)
    with pytest.raises(ScenarioError, match="no query was served"):
        analysis.energy_per_query(run["ledger"].to_dataset(), 0)


def test_latency_quantiles_are_order_statistics():
    rng = np.random.default_rng(3)
    latency = rng.exponential(1e-6, 1000)
    found = analysis.latency_quantiles(latency, (0.0, 0.25, 0.5, 0.999, 1.0))
    ranked = sorted(latency)
    np.testing.assert_array_equal(found, [ranked[0], ranked[249], ranked[499], ranked[998], ranked[-1]])
    values, share = analysis.latency_cdf([2.0, 1.0, 2.0], [1, 1, 2])
    np.testing.assert_array_equal(values, [1.0, 2.0])
    np.testing.assert_allclose(share, [0.25, 1.0])
    queries = xr.Dataset({"latency": ("query", latency), "n_aggregated": ("query", np.ones(1000, int))})
    thin = analysis.latency_distribution(queries, 50)
    assert thin.sizes["latency"] <= 52
    np.testing.assert_allclose(np.interp(thin["latency"], *analysis.latency_cdf(latency)), thin["share"])


def test_reliability_of_a_known_case():
    confidence = [0.15, 0.2, 0.95, 1.0, 0.0]
    found = analysis.reliability(confidence, [False, True, True, True, False], n_bins=5)
    np.testing.assert_array_equal(found["count"], [3, 0, 0, 0, 2])
    np.testing.assert_allclose(found["accuracy"].values[[0, 4]], [1 / 3, 1.0])
    gap = (3 * abs(1 / 3 - 0.35 / 3) + 2 * abs(1.0 - 0.975)) / 5
    assert float(found["expected_calibration_error"]) == pytest.approx(gap)
    p = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    both = analysis.calibration(p, np.array([0, 0, 0]), 10)["expected_calibration_error"]
    assert float(both) == pytest.approx((0.3 + 0.6 + 0.1) / 3)


def test_votes_and_errors_of_a_run(run):
    found = run.bimu.reliability()
    queries = run["queries"].to_dataset()
    for disagree in range(6):
        these = queries["disagreement"].values == disagree
        assert int(found["count"][5 - disagree]) == these.sum()
        if these.any():
            assert float(found["accuracy"][5 - disagree]) == pytest.approx(queries["correct"].values[these].mean())
    auc = run.bimu.error_detection().sel(measure="predictive")
    wrong = queries["correct"].values == 0
    score = queries["predictive"].values
    pairs = [(a > b) + 0.5 * (a == b) for a in score[wrong] for b in score[~wrong]]
    assert float(auc) == pytest.approx(np.mean(pairs), rel=1e-9)


def test_pareto_front_against_all_pairs():
    rng = np.random.default_rng(4)
    points = rng.integers(0, 6, (60, 2)).astype(float)  # with ties
    points[7] = np.nan
    front = analysis.pareto_front(points, ("min", "max"))
    for i, (a, b) in enumerate(points):
        beaten = any(c <= a and d >= b and (c < a or d > b) for c, d in points)
        assert front[i] == (not beaten and not np.isnan(a))
    results = xr.Dataset({"cost": (("x", "seed"), points[:6, :1].reshape(3, 2)), "gain": (("x",), [1.0, 5.0, 2.0])})
    shaped = results.bimu.pareto(cost="min", gain="max")
    assert shaped.dims == ("x", "seed")
    with pytest.raises(ScenarioError, match="Did you mean 'gain'"):
        results.bimu.pareto(gains="max")
    with pytest.raises(ScenarioError, match='"min" or "max"'):
        analysis.pareto_front(points, ("min", "least"))


def test_the_bootstrap_covers_about_as_often_as_it_says():
    """Of 95 % intervals for 30 draws, 400 times: 1 false alarm in 1e4 would lie outside 0.90 to 0.98."""
    rng = np.random.default_rng(5)
    hits = 0
    for k in range(400):
        _, low, high = analysis.bootstrap_mean(rng.normal(2.0, 1.0, 30), n_boot=800, seed=k)
        hits += low <= 2.0 <= high
    assert 0.90 <= hits / 400 <= 0.98
    mean, low, high = analysis.bootstrap_mean([3.0])
    assert (mean, np.isnan(low), np.isnan(high)) == (3.0, True, True)
    assert analysis.bootstrap_mean([1.0, 2.0, np.nan]) == analysis.bootstrap_mean([1.0, 2.0])
    assert np.isnan(analysis.bootstrap_mean([np.nan])[0])


def test_paired_differences_go_seed_by_seed():
    seeds = np.arange(8)
    common = np.random.default_rng(6).normal(0.0, 1.0, 8)
    results = xr.Dataset(
        {"accuracy": (("noise", "seed"), [common, common - 0.25], {"units": "1", "long_name": "accuracy"})},
        coords={"noise": [0.0, 0.3], "seed": seeds},
    )
    found = results.bimu.paired_difference("accuracy", {"noise": 0.3}, {"noise": 0.0})
    for name in ("difference", "low", "high"):  # what the seeds have in common cancels
        assert float(found[name]) == pytest.approx(-0.25, abs=1e-12)
    assert int(found["n_pairs"]) == 8
    a = xr.DataArray([1.0, 2.0, 3.0], dims="seed", coords={"seed": [1, 2, 3]})
    b = xr.DataArray([0.0, 5.0], dims="seed", coords={"seed": [3, 1]})
    assert float(analysis.paired_difference(a, b)["difference"]) == pytest.approx((1.0 - 5.0 + 3.0 - 0.0) / 2)
    with pytest.raises(ScenarioError, match="no seed in common"):
        analysis.paired_difference(a, b.assign_coords(seed=[8, 9]))


def everything(run):
    yield run.bimu.freezing("task")
    yield run.bimu.freezing("snapshot", ("plasticity", "dead_zone_fraction", "pulses_per_cell"))
    yield run.bimu.occupancy().to_dataset()
    yield run.bimu.continual_learning()
    yield run.bimu.online_accuracy()
    yield run.bimu.reliability()
    yield run.bimu.error_detection().to_dataset()
    yield run.bimu.energy(("component", "phase"))
    yield run.bimu.energy_per_query("kind", "update")
    yield run.bimu.latency().to_dataset()
    yield run.bimu.latency_distribution()


def test_whatever_is_returned_has_a_name_and_units_that_pint_reads(run):
    for found in everything(run):
        for name, variable in found.data_vars.items():
            assert variable.attrs["long_name"], name
            assert parse_quantity(f"1 {variable.attrs['units']}", variable.attrs["units"], str(name)) == 1.0


def test_tables_for_latex(run):
    text = analysis.to_latex(run.bimu.energy_per_query("component"), "Energy of a query & more", "tab:energy")
    assert r"\caption{Energy of a query \& more}" in text
    assert text.count(r"\\") == 1 + run.bimu.energy("component").sizes["component"]
    assert all(line.count("&") == 3 for line in text.splitlines() if line.endswith(r"\\"))
    one = analysis.to_latex(xr.Dataset({"a_b": ((), 2e-9, {"units": "J"}), "c": ((), np.nan)}))
    assert r"a b & $2\,\mathrm{nJ}$ \\" in one
    assert r"c & -- \\" in one
    square = xr.DataArray([[1.0, 2.0]], dims=("x", "y"), coords={"x": ["u_v"], "y": [1, 2]})
    assert r"u v & $1$ & $2$ \\" in analysis.to_latex(square)
    with pytest.raises(ScenarioError, match="rows and columns"):
        analysis.to_latex(square.to_dataset(name="z"))


@pytest.mark.parametrize(
    "name",
    ["accuracy", "accuracy_matrix", "energy", "latency", "freezing", "occupancy", "synapse_map", "reliability"],
)
def test_every_plot_returns_the_axes_it_was_given(run, name, tmp_path):
    drawn = []
    for k in range(2):
        with analysis.paper_style():
            figure = analysis.new_figure("single")
            axes = figure.add_subplot()
            assert getattr(run.bimu, f"plot_{name}")(axes=axes) is axes
        drawn.append(analysis.save_figure(figure, tmp_path / f"{k}.svg").read_bytes())
    assert drawn[0] == drawn[1]  # no date, no random ids
    assert axes.get_xlabel()
    assert axes.get_ylabel() or name == "energy"
    pdf = analysis.save_figure(figure, tmp_path / "figure.pdf").read_bytes()
    assert b"/Type3" not in pdf  # fonts are embedded as TrueType
    assert b"/FontFile2" in pdf


def test_a_plot_leaves_the_callers_settings_alone(run):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    axes = run.bimu.plot_latency()
    assert dict(mpl.rcParams) == before
    assert axes.figure.get_size_inches()[0] == pytest.approx(88.9 / 25.4)
    plt.close(axes.figure)


def test_figures_have_the_widths_of_columns(tmp_path):
    with analysis.paper_style():
        assert analysis.new_figure("double").get_size_inches()[0] == pytest.approx(182.0 / 25.4)
        with pytest.raises(ScenarioError, match="Did you mean 'double'"):
            analysis.new_figure("doubel")
        with pytest.raises(bimu_hw.errors.RunError, match="choose one of these endings"):
            analysis.save_figure(analysis.new_figure(), tmp_path / "figure.jpg")
