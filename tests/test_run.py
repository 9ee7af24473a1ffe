"""A whole run: the same bits again, whoever watches; neutral hardware is ideal hardware."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bimu_hw
from bimu_hw.cards import neutral_values, shipped_cards
from bimu_hw.devices import get_model
from bimu_hw.errors import DataError, RunError
from bimu_hw.run import Run, run_scenario
from bimu_hw.scenario import load_scenario

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
SHORT = ("stream.examples=300", "stream.tasks=2", "evaluation.examples=40")

STORAGE = sorted(name for name, card in shipped_cards().items() if get_model(card.model).role == "storage")
SAMPLERS = sorted(name for name, card in shipped_cards().items() if get_model(card.model).role == "sampler")


def run_short(folder: Path, *overrides: str, seed: int | None = None) -> xr.DataTree:
    result = run_scenario(load_scenario(QUICKSTART, (*SHORT, *overrides), seed), folder, progress=False)
    return bimu_hw.open_run(result.path)


def assert_same(a: xr.DataTree, b: xr.DataTree, *, groups=None) -> None:
    assert set(a.children) == set(b.children)
    for name in groups or a.children:
        xr.testing.assert_identical(a[name].to_dataset(inherit=False), b[name].to_dataset(inherit=False))


def final_lam(overrides: tuple[str, ...]) -> list[np.ndarray]:
    run = Run(load_scenario(QUICKSTART, (*SHORT, "record.state=false", *overrides)))
    run.accelerator.run()
    run.finish()
    return [synapses.lam for synapses in run.chip.layers]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return run_short(tmp_path_factory.mktemp("reference"))


def test_the_same_scenario_gives_the_same_data(reference, tmp_path):
    assert_same(reference, run_short(tmp_path))


def test_two_threads_give_the_same_data(reference, tmp_path):
    assert_same(reference, run_short(tmp_path, "run.threads=2"))


def test_recording_changes_nothing(reference, tmp_path):
    bare = run_short(tmp_path / "bare", "record.state=false")
    assert not [name for name in bare.children if name.startswith("layer_")]
    for name in bare.children:
        a, b = (tree[name].to_dataset(inherit=False) for tree in (reference, bare))
        # Requests are not added up where no state is recorded.
        needs_requests = ["dead_zone_fraction", "rail_fraction"] if name == "freezing" else []
        xr.testing.assert_identical(a.drop_vars(needs_requests), b.drop_vars(needs_requests))
    often = run_short(tmp_path / "often", "record.snapshots=50")
    assert_same(reference, often, groups=["queries", "tasks", "ledger", "resources"])
    for name in ("layer_0", "layer_1"):
        a, b = (t[name].to_dataset(inherit=False).set_index(snapshot="example") for t in (reference, often))
        both = np.intersect1d(a["snapshot"], b["snapshot"])
        assert len(both) >= 3
        xr.testing.assert_identical(a.sel(snapshot=both), b.sel(snapshot=both))


def test_each_seed_changes_what_it_should(reference, tmp_path):
    for seed in ("fabrication", "noise", "data"):
        other = run_short(tmp_path / seed, f"seeds.{seed}=77")
        assert other.attrs[f"seed_{seed}"] == 77
        same_labels = np.array_equal(other["queries"]["label"], reference["queries"]["label"])
        same_arrivals = np.array_equal(other["queries"]["arrival_tick"], reference["queries"]["arrival_tick"])
        start = (other["layer_0"]["lam"].isel(snapshot=0) == reference["layer_0"]["lam"].isel(snapshot=0)).all()
        assert same_labels  # file order, no label noise
        assert same_arrivals == (seed != "data")
        assert bool(start) == (seed == "data")
    assert run_short(tmp_path / "all", seed=5).attrs["seed_noise"] == 5


def test_the_record_holds_what_the_summary_says(tmp_path):
    result = run_scenario(load_scenario(QUICKSTART, SHORT), tmp_path / "run", progress=False)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary), parse_constant=lambda name: None)
    tree = bimu_hw.open_run(tmp_path / "run")
    ledger, queries = tree["ledger"], tree["queries"]
    total = float(ledger["energy"].sum())
    per_query = summary["energy_per_query_J"]
    assert per_query["all"] * summary["queries"] == pytest.approx(total, rel=1e-12)
    assert sum(per_query["components"].values()) == pytest.approx(per_query["all"], rel=1e-12)
    idle = float(ledger["energy"].values[[str(p) for p in ledger["phase"].values].index("idle")].sum())
    assert float(queries["energy"].sum()) + idle == pytest.approx(total, rel=1e-12)
    # Counts times costs, read back from the file, with the array's own joules.
    again = float((ledger["count"] * ledger["cost"]).sum() + ledger["array_energy"].sum())
    assert again == pytest.approx(total, rel=1e-12)
    assert summary["accuracy_newest_task"] == tree["tasks"]["accuracy"].values[-1, -1]
    sent = [str(o).startswith("storage.pulse") for o in ledger["operation"].values]
    assert int(queries["pulses"].sum()) == int(ledger["count"].values[..., sent].sum())
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "run.nc", "summary.json", "scenario.json", "accuracy.png", "energy.png", "freezing.png",
    }  # fmt: skip


def test_a_folder_with_a_run_is_refused_and_overwritten_on_request(tmp_path):
    scenario = load_scenario(QUICKSTART, ("stream.examples=20", "stream.tasks=1", "evaluation.examples=5"))
    run_scenario(scenario, tmp_path / "a", progress=False)
    before = (tmp_path / "a" / "run.nc").read_bytes()
    with pytest.raises(RunError, match="holds another run"):
        run_scenario(scenario, tmp_path / "a", progress=False)
    assert (tmp_path / "a" / "run.nc").read_bytes() == before
    run_scenario(scenario, tmp_path / "a", overwrite=True, progress=False)
    assert (tmp_path / "a" / "run.nc").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file"):
        run_scenario(scenario, tmp_path / "file", progress=False)


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, index, tick):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Run, "before_query", fail)
    with pytest.raises(ZeroDivisionError):
        run_scenario(load_scenario(QUICKSTART, SHORT), tmp_path / "deep" / "run", progress=False)
    assert list(tmp_path.iterdir()) == []
    empty = load_scenario(QUICKSTART, ("stream.dataset=fashion_mnist",))
    monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError):
        run_scenario(empty, tmp_path / "deep" / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


# Back to back: a slow device would otherwise drop inputs that a fast one serves, and so learn other examples.
IDEAL = (
    "accelerator.arrivals=back_to_back", "accelerator.rate=", "accelerator.queue=",
    "device.storage=ideal_storage", "device.sampler=ideal_sampler", "device.programming=deterministic",
    "device.lam_max=", "device.residue_bits=", "crossbar.inputs=analog", "crossbar.adc_bits=0", "crossbar.adc_range=",
    "crossbar.gradient_bits=",
)  # fmt: skip


def neutral_overrides(name: str) -> list[str]:
    card = shipped_cards()[name]
    model = get_model(card.model)
    table = "storage_params" if model.role == "storage" else "sampler_params"
    from bimu_hw.cards import device_specs

    params, costs = device_specs(model)
    out = []
    for key, value in neutral_values(model).items():
        unit = {**params, **costs}[key].unit
        out.append(f"device.{table}.{key}={value if unit == '1' else repr(f'{value} {unit}')}")
    return out


@pytest.fixture(scope="module")
def ideal_lam():
    return final_lam(_existing(IDEAL))


def _existing(overrides):
    """Leave out removals of keys that the quickstart does not have."""
    text = QUICKSTART.read_text()
    return tuple(o for o in overrides if not o.endswith("=") or o.split(".")[-1][:-1] in text)


@pytest.mark.parametrize("name", STORAGE + SAMPLERS)
def test_neutral_hardware_is_ideal_hardware(name, ideal_lam):
    role = "storage" if name in STORAGE else "sampler"
    lam = final_lam((*_existing(IDEAL), f"device.{role}={name}", *neutral_overrides(name)))
    for a, b in zip(lam, ideal_lam, strict=True):
        assert np.array_equal(a, b)


def test_latency_quantiles_are_right_to_a_thousandth():
    from bimu_hw.run import LatencyHistogram

    ticks = np.random.default_rng(0).lognormal(15, 2, 20_001).astype(np.int64)
    histogram = LatencyHistogram()
    for t in ticks:
        histogram.add(int(t))
    for q in (0.01, 0.5, 0.99):
        assert histogram.quantile(q) == pytest.approx(np.quantile(ticks, q, method="inverted_cdf"), rel=1e-3)
    assert LatencyHistogram().quantile(0.5) == 0
