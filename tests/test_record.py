"""The record: one schema, rows of queries and blocks of them, a file that is whole or absent, a lazy reader."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pint
import pytest
import xarray as xr

from bimu_hw.devices import SamplerModel, StateVar, StorageModel
from bimu_hw.errors import RunError, SchemaError
from bimu_hw.ledger import READ_KEYS, AreaBlock, CostTable, ReadPrice, Tally
from bimu_hw.operations import COMPONENTS, OPERATIONS, PHASES
from bimu_hw.record import (
    VARIABLES,
    Costs,
    ResourceUse,
    RunRecorder,
    clean_attrs,
    describe,
    describe_markdown,
    disk,
    layer_variables,
    open_run,
    validate,
    write_run,
)

SHAPES = ((20, 10), (10, 4))
PROVENANCE: dict[str, Any] = {
    "bimu_hw_version": "0.1.0", "seed_fabrication": 0, "seed_noise": 2**64 - 1, "seed_data": 2, "scenario_hash": "ab12",
    "resolved_scenario": {"title": "test", "network": {"hidden": [10]}}, "cpu_name": "a processor",
    "cpu_features": ["avx2", "fma"], "python_version": "3.11", "numpy_version": "2.0", "numba_version": "0.61",
    "title": None, "published": True,
}  # fmt: skip


class State(NamedTuple):
    pulse_count: Any
    fault: Any
    asymmetry: Any
    hidden: Any


class Params(NamedTuple):
    pass


def never(*_: Any) -> None:
    raise AssertionError("a record computes no physics")


def model(n_devices: int = 2, name: str = "asymmetry") -> StorageModel:
    variables = (
        StateVar("pulse_count", "int32", "1", "pulses"),
        StateVar("fault", "int8", "1", "fault"),
        StateVar(name, "float64", "V", "asymmetry of a device", per_device=True, recorded=True),
        StateVar("hidden", "float32", "1", "not for the record"),
    )
    kernels = (never,) * 6
    return StorageModel("pair", "memristor", "a test", Params, State, (), variables, *kernels, n_devices=n_devices)


def state(shape: tuple[int, int], rng: np.random.Generator, n_devices: int = 2) -> dict[str, Any]:
    lam = rng.normal(0, 3, shape).astype(np.float32)
    return {
        "level": np.round(lam), "lam": lam, "pulse_count": rng.integers(0, 99, shape).astype(np.int32),
        "conductance": rng.random((*shape, n_devices)).astype(np.float32), "requested": rng.normal(size=shape),
        "fault": np.zeros(shape, np.int8),
        "asymmetry": rng.random((*shape, n_devices)),
    }  # fmt: skip


def costs() -> CostTable:
    joules = np.linspace(1e-15, 1e-12, len(OPERATIONS))
    kinds, sources = ("assumed",) * len(OPERATIONS), ("card: key",) * len(OPERATIONS)
    return CostTable(joules, joules / 2, joules * 2, kinds, sources, ("card",) * len(OPERATIONS))


def all_costs() -> Costs:
    ends = np.arange(len(READ_KEYS)) + 1.0
    blocks = {"storage": AreaBlock(7, "storage.area", 2e-13), "periphery": AreaBlock(1, "component.area", 3e-8)}
    return Costs(costs(), ReadPrice(ends / 2, ends, ends * 2, "assumed", "junction"), blocks)


def spent(rng: np.random.Generator) -> Tally:
    return Tally(rng.integers(0, 1000, len(OPERATIONS)), float(rng.random()) * 1e-12)


def priced(*tallies: Tally) -> list[float]:
    """Price tallies by a loop over operations."""
    joules = dict.fromkeys(COMPONENTS, 0.0)
    joules["array"] = sum(tally.array_joules for tally in tallies)
    for i, op in enumerate(OPERATIONS):
        joules[op.component] += sum(int(tally.counts[i]) for tally in tallies) * float(costs().joules[i])
    return list(joules.values())


def finish(recorder: RunRecorder, seed: int = 0, **provenance: Any) -> xr.DataTree:
    rng = np.random.default_rng(seed)
    n_layers = len(recorder._shapes)
    shape = (len(PHASES), n_layers + 1)
    counts = rng.integers(0, 1000, (*shape, len(OPERATIONS)))
    use = ResourceUse(["tile", "adc"], [5, 6], [10, 20], [1, 8], 33, 44, 1, 1e-6, 2e-6, macs=1234)
    accuracy = np.array([[0.9, np.nan], [0.8, 0.95]])
    freezing = {
        v.name: rng.random((2, n_layers)) for v in VARIABLES if v.group == "/freezing" and not v.coord
    }
    return recorder.finish(
        counts, rng.random(shape), all_costs(), use, accuracy, freezing, {**PROVENANCE, **provenance}
    )


def build(
    n: int = 100, limit: int = 1000, snapshots: int = 3, record_state: bool = True, expected: int | None = None,
    n_devices: int = 2, shapes: tuple[tuple[int, int], ...] = SHAPES, folder: Path | None = None,
) -> xr.DataTree:  # fmt: skip
    """Record a made-up run whose labels come seven queries late."""
    rng = np.random.default_rng(1)
    recorder = RunRecorder(
        shapes, model(n_devices), 2, limit, n if expected is None else expected, record_state, folder=folder
    )
    late: list[tuple[int, ...]] = []
    for i in range(n):
        ticks = (1000 * i, 1000 * i + 5, 1000 * i + 500 + int(rng.integers(90)))
        classes = (int(rng.integers(10)), int(rng.integers(3)))
        number = recorder.query(
            i + 3, i // 40, *ticks, *classes, i % 3 == 0, int(rng.integers(5)), *rng.random(3),
            spent(rng),
        )  # fmt: skip
        late += [(i + 7, number, int(rng.integers(100)))] if i % 3 == 0 else []
        while late and late[0][0] == i:
            _, asked, pulses = late.pop(0)
            recorder.learned(asked, 1000 * i, True, pulses, spent(rng))
    for s in range(snapshots):
        for layer, shape in enumerate(shapes):
            recorder.snapshot(layer, 10 * s, 1000 * s, s, state(shape, rng, n_devices))
    return finish(recorder)


def variables(tree: xr.DataTree) -> dict[str, xr.Variable]:
    return {
        f"{node.path}/{name}": var
        for node in tree.subtree
        for name, var in node.to_dataset(inherit=False).variables.items()
    }


def test_a_written_run_reads_back_identical(tmp_path: Path) -> None:
    tree = build()
    validate(tree)
    write_run(tree, tmp_path / "run.nc")
    for path in (tmp_path, tmp_path / "run.nc", str(tmp_path)):
        with open_run(path) as run:
            validate(run)
            xr.testing.assert_identical(run.load(), tree)
            for name, var in variables(run).items():
                if var.dtype.kind not in "OUT":
                    assert var.dtype == variables(tree)[name].dtype, name


def test_opening_loads_nothing_but_the_axes(tmp_path: Path) -> None:
    write_run(build(), tmp_path / "run.nc")
    with open_run(tmp_path) as run:
        loaded = {name for name, var in variables(run).items() if var._in_memory}
        axes = {name for name, var in variables(run).items() if var.dims == (name.rsplit("/", 1)[1],)}
        assert loaded <= axes
        assert "/layer_0/lam" in variables(run)


def test_every_variable_says_what_it_is() -> None:
    registry = pint.UnitRegistry(cache_folder=None)
    dims = {"snapshot", "query", "task", "trained_task", "layer", "wordline", "bitline", "device", "component",
            "operation", "phase", "resource", "bound", "block"}  # fmt: skip
    found = variables(build())
    assert len(found) == 23 + 2 * 12 + 3 + 10 + 23 + 5 + 15
    for name, var in found.items():
        assert set(var.dims) <= dims, name
        assert var.attrs["long_name"], name
        if var.dtype.kind in "OUT":
            assert "units" not in var.attrs, name
        else:
            registry.parse_units(var.attrs["units"])
    dimension = {"latency": "[time]", "energy": "[mass] * [length] ** 2 / [time] ** 2", "arrival_tick": "[time]"}
    for name, wanted in dimension.items():
        unit = registry.parse_units(found[f"/queries/{name}"].attrs["units"])
        assert unit.dimensionality == registry.get_dimensionality(wanted)
    assert registry.parse_units(found["/layer_0/conductance"].attrs["units"]).is_compatible_with("siemens")
    assert found["/layer_1/asymmetry"].attrs["units"] == "V"
    assert found["/layer_0/fault"].attrs["flag_meanings"].split()[1] == "stuck_on"


def test_full_rows_hold_what_was_given() -> None:
    rng = np.random.default_rng(5)
    recorder = RunRecorder([(2, 2)], model(), 2, 10, 2, record_state=False)
    first, second, more = (spent(rng) for _ in range(3))
    recorder.query(7, 1, 100, 150, 2_000_100, 4, 4, True, 2, 0.25, 0.5, 0.75, first)
    recorder.query(9, 1, 200, 250, 1_000_200, 4, 3, False, 0, 0.0, 0.0, 0.0, second)
    recorder.learned(0, 3_000_000, True, 12, more)
    queries = finish(recorder)["queries"].to_dataset()
    assert queries.example.values.tolist() == [7, 9]
    assert queries.latency.values.tolist() == [2e-6, 1e-6]
    assert queries.correct.values.tolist() == [1, 0]
    assert queries.asked.values.tolist() == [1, 0]
    assert queries.updated.values.tolist() == [1, 0]
    assert queries.pulses.values.tolist() == [12, 0]
    assert queries.label_tick.values.tolist() == [3_000_000, -1]
    assert queries.epistemic.values.tolist() == [0.5, 0.0]
    np.testing.assert_array_equal(queries["count"].values, [first.counts + more.counts, second.counts])
    np.testing.assert_allclose(queries.energy.values, [priced(first, more), priced(second)], rtol=1e-12)
    assert queries.array_energy.values.tolist() == [first.array_joules + more.array_joules, second.array_joules]


def test_what_is_handed_over_is_copied() -> None:
    recorder = RunRecorder([(2, 2)], model(), 2, n_expected_queries=1, record_state=False)
    given = Tally()
    given.counts[:] = 1
    recorder.query(0, 0, 0, 0, 1, 0, 0, False, 0, 0.0, 0.0, 0.0, given)
    given.counts[:] = 5
    assert finish(recorder)["queries/count"].values.max() == 1


@pytest.mark.parametrize(("n", "limit"), [(100, 7), (100, 50), (100, 1), (100, 0), (99, 33)])
def test_blocks_are_the_sums_means_firsts_and_lasts_of_the_full_record(n: int, limit: int) -> None:
    full = build(n, n, record_state=False)["queries"].to_dataset()
    blocks_tree = build(n, limit, record_state=False)
    validate(blocks_tree)
    blocks = blocks_tree["queries"].to_dataset()
    size = -(-n // max(limit, 1))
    starts = np.arange(0, n, size)
    ends = np.minimum(starts + size, n) - 1
    assert blocks_tree.attrs["queries_per_row"] == size
    assert blocks.sizes["query"] == len(starts) <= max(limit, 1)
    assert blocks.n_aggregated.values.tolist() == (ends - starts + 1).tolist()
    for var in VARIABLES:
        if var.group != "/queries" or "query" not in var.dims:
            continue
        if var.aggregate is None:
            assert var.name not in blocks
            continue
        values = full[var.name].values
        sums = np.add.reduceat(values.astype(float), starts, axis=0)
        expected = {
            "sum": sums, "mean": sums / blocks.n_aggregated.values.reshape(-1, *[1] * (values.ndim - 1)),
            "first": values[starts], "last": values[ends],
        }[var.aggregate]  # fmt: skip
        rtol = 0 if values.dtype.kind == "i" else 1e-6 if values.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(blocks[var.name].values, expected, rtol=rtol, err_msg=var.name)


def test_more_queries_than_expected_are_recorded() -> None:
    for expected in (0, 13):
        few = build(100, 1000, record_state=False, expected=expected)
        xr.testing.assert_identical(few, build(100, 1000, record_state=False))
    blocks = build(100, 5, record_state=False, expected=20)["queries"]
    assert blocks["n_aggregated"].values.tolist() == [4] * 25


def test_an_empty_run_is_a_record(tmp_path: Path) -> None:
    write_run(build(0, snapshots=0), tmp_path / "run.nc")
    with open_run(tmp_path) as run:
        validate(run)
        assert run["queries/energy"].shape == (0, len(COMPONENTS))
        assert run["layer_0/lam"].shape == (0, *SHAPES[0])


def test_snapshots_keep_the_arrays_and_derive_weight_and_plasticity() -> None:
    rng = np.random.default_rng(3)
    recorder = RunRecorder([(3, 2)], model(), 2)
    given = [state((3, 2), rng) for _ in range(2)]
    given[1]["lam"][0] = (400.0, -400.0)
    recorder.snapshot(0, 0, 0, 0, given[0])
    flat = {name: array.reshape(6, *array.shape[2:]) for name, array in given[1].items()}
    recorder.snapshot(0, 10, 5000, 1, flat)
    layer = finish(recorder)["layer_0"].to_dataset()
    for name in given[0]:
        np.testing.assert_array_equal(layer[name].values, [g[name] for g in given], err_msg=name)
    assert layer.tick.values.tolist() == [0, 5000]
    lam = layer.lam.values.astype(np.float64)
    np.testing.assert_allclose(layer.mean_weight.values, np.tanh(lam), rtol=1e-6)
    secant = 2 / (np.exp(np.minimum(lam, 300)) + np.exp(-np.maximum(lam, -300)))
    np.testing.assert_allclose(layer.plasticity.values, secant**2, rtol=1e-6, atol=1e-38)


def test_a_single_device_has_no_device_dimension() -> None:
    tree = build(n_devices=1)
    validate(tree)
    assert tree["layer_0/conductance"].dims == tree["layer_0/asymmetry"].dims == ("snapshot", "wordline", "bitline")


def test_a_model_may_keep_faults_per_device() -> None:
    pair = model()
    variables = tuple(replace(v, per_device=v.name in ("fault", "asymmetry")) for v in pair.variables)
    recorder = RunRecorder(SHAPES, replace(pair, variables=variables), 2)
    for layer, shape in enumerate(SHAPES):
        arrays = state(shape, np.random.default_rng(0))
        recorder.snapshot(layer, 0, 0, 0, {**arrays, "fault": np.full((*shape, 2), (0, 3), np.int8)})
    tree = finish(recorder)
    validate(tree)
    assert tree["layer_1/fault"].isel(wordline=4, bitline=2, snapshot=0).values.tolist() == [0, 3]
    assert tree["layer_1/pulse_count"].dims == ("snapshot", "wordline", "bitline")


def test_a_run_without_state_has_the_same_queries() -> None:
    with_state, without = build(), build(record_state=False)
    validate(without)
    assert not [name for name in without.children if name.startswith("layer")]
    xr.testing.assert_identical(with_state["queries"], without["queries"])


def test_recorded_states_leave_no_file_behind(tmp_path: Path) -> None:
    tree = build(folder=tmp_path)
    assert os.listdir(tmp_path) == []
    assert float(tree["layer_0/plasticity"].max()) > 0


def test_the_ledger_adds_up() -> None:
    ledger = build()["ledger"].to_dataset()
    total = (ledger["count"] * ledger.cost).sum() + ledger.array_energy.sum()
    assert float(ledger.energy.sum()) == pytest.approx(float(total), rel=1e-12)
    adc = ledger.operation_component.values == "adc"
    spent = (ledger["count"] * ledger.cost).values[..., adc].sum(axis=-1)
    np.testing.assert_allclose(ledger.energy.sel(component="adc").values, spent, rtol=1e-12)
    assert ledger.layer.values.tolist() == ["layer_0", "layer_1", "chip"]
    assert ledger.read_time.sel(bound=["low", "value", "high"]).values.tolist() == [2.0, 4.0, 8.0]
    assert (str(ledger.array_card.values), str(ledger.array_kind.values)) == ("junction", "assumed")
    assert ledger.cost_key.sel(operation="adc.convert").item() == "component.adc_convert_energy"


def test_areas_are_counts_times_areas() -> None:
    area = build()["area"].to_dataset()
    assert area.block.values.tolist() == ["storage", "periphery"]
    assert area.area.values.tolist() == [7 * 2e-13, 3e-8]


def test_equal_runs_give_equal_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    places = [tmp_path / "a" / "run.nc", tmp_path / "another" / "other.nc"]
    for place in places:
        place.parent.mkdir()
        write_run(build(), place)
        time.sleep(1.1)  # a time stamp of one second's resolution would show
    first, second = (place.read_bytes() for place in places)
    assert first == second
    assert tmp_path.name.encode() not in first


def test_compression_pays(tmp_path: Path) -> None:
    recorder = RunRecorder([(200, 100)], model(1), 2)
    arrays = {name: np.ones_like(a) for name, a in state((200, 100), np.random.default_rng(0), 1).items()}
    for s in range(10):
        recorder.snapshot(0, s, s, 0, arrays)
    tree = finish(recorder)
    write_run(tree, tmp_path / "run.nc")
    assert (tmp_path / "run.nc").stat().st_size < 0.05 * tree["layer_0"].to_dataset().nbytes


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the n-th write to disk call something first."""

    real = disk._write_all

    def install(n: int, action: Any) -> list[int]:
        calls = [0]

        def write_all(write: Any, data: memoryview) -> None:
            calls[0] += 1
            if calls[0] >= n:
                action()
            real(write, data)

        monkeypatch.setattr(disk, "_write_all", write_all)
        return calls

    return install


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, fail_at: Any) -> None:
    tree = build()
    calls = fail_at(10**9, disk_full)
    write_run(tree, tmp_path / "run.nc")
    n_writes = calls[0]
    (tmp_path / "run.nc").write_bytes(b"an older run")
    for n in sorted({1, 2, n_writes // 4, n_writes // 2, n_writes - 1, n_writes}):
        calls = fail_at(n, disk_full)
        with pytest.raises(RunError, match=r"run\.nc: the disk is full; free"):
            write_run(tree, tmp_path / "run.nc")
        assert calls[0] == n
        assert os.listdir(tmp_path) == ["run.nc"]
        assert (tmp_path / "run.nc").read_bytes() == b"an older run"


def test_a_full_disk_during_the_run_is_one_sentence(tmp_path: Path, fail_at: Any) -> None:
    fail_at(5, disk_full)
    with pytest.raises(RunError, match="the disk is full"):
        build(folder=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_after_the_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    tree = build()
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(RunError, match=r"cannot be written \(Input/output error\)"):
        write_run(tree, tmp_path / "run.nc")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("n", [1, 100])
def test_ctrl_c_while_writing_leaves_nothing(tmp_path: Path, fail_at: Any, n: int) -> None:
    tree = build()
    pressed = []

    def press_once() -> None:
        if not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    fail_at(n, press_once)
    with pytest.raises(KeyboardInterrupt):
        write_run(tree, tmp_path / "run.nc")
    assert pressed
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_inside_the_library_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = build()

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(ZeroDivisionError):
        write_run(tree, tmp_path / "run.nc")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by a POSIX call")
def test_the_interpreter_survives_a_write_that_really_fails(tmp_path: Path) -> None:
    # HDF5 itself crashes here when it is the one that meets the error, hence a process of its own.
    script = """
import gc, resource, sys
from test_record import build, write_run, RunError
tree = build()
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_run(tree, sys.argv[1])
except RunError as error:
    print("RunError:", error)
gc.collect()
"""
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run.nc")], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "RunError:" in done.stdout
    assert "cannot be written (File too large)" in done.stdout
    assert done.stderr == ""
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no/run\.nc: cannot be written \(No such file"):
        write_run(build(), tmp_path / "no" / "run.nc")


def test_reader_refuses_in_one_sentence(tmp_path: Path) -> None:
    write_run(build(), tmp_path / "good.nc")
    whole = (tmp_path / "good.nc").read_bytes()
    (tmp_path / "text.nc").write_text("no record")
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.nc").write_bytes(b"")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    xr.Dataset(attrs={"schema_version": 99, "bimu_hw_version": "9.9"}).to_netcdf(tmp_path / "new.nc", engine="h5netcdf")
    for name, error, text in (
        ("absent.nc", RunError, "no such file"),
        (".", RunError, r"run\.nc: no such file"),
        ("text.nc", RunError, "cannot be read as NetCDF-4"),
        ("cut.nc", RunError, "cannot be read as NetCDF-4"),
        ("empty.nc", RunError, "cannot be read as NetCDF-4"),
        ("other.nc", SchemaError, "is not a run of bimu-hw"),
        ("new.nc", SchemaError, r"schema version 99, written by bimu-hw 9\.9"),
    ):
        with pytest.raises(error, match=text) as caught:
            open_run(tmp_path / name)
        assert "\n" not in str(caught.value), name


def broken(change: Any) -> xr.DataTree:
    """Return a record in which one dataset was replaced."""
    tree = build(10, snapshots=1)
    group, dataset = change(tree)
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    return xr.DataTree.from_dict({**groups, group: dataset})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: ("/queries", t["queries"].to_dataset().drop_vars("pulses")), "/queries/pulses: missing"),
        (lambda t: ("/queries", t["queries"].to_dataset().assign(energi=1)), "Did you mean 'energy'"),
        (lambda t: ("/queries", t["queries"].to_dataset().reset_coords("example")), "example: expected a coordinate"),
        (lambda t: ("/layer_1", t["layer_1"].to_dataset().transpose("snapshot", "bitline", ...)), "has dimensions"),
        (lambda t: ("/layer_0", t["layer_0"].to_dataset().astype("float64")), "has type float64; expected float32"),
        (lambda t: ("/layer_0", t["layer_0"].to_dataset().assign(own=(("snapshot",), [0]))), "own: a model's own"),
        (lambda t: ("/layer_2", t["layer_0"].to_dataset()), "group /layer_2: not in the schema"),
        (lambda t: ("/resources", xr.Dataset()), "/resources/resource: missing"),
        (lambda t: ("/", xr.Dataset(attrs={**t.attrs, "n_layers": 3})), "group /layer_2: missing"),
        (lambda t: ("/", xr.Dataset(attrs={**t.attrs, "schema_version": 0})), "'schema_version': got 0"),
        (lambda t: ("/", xr.Dataset(attrs={**t.attrs, "resolved_scenario": "{"})), "expected json"),
        (lambda t: ("/", xr.Dataset(attrs={**t.attrs, "seed_noise": "1"})), "got '1'; expected int"),
    ],
)
def test_validate_names_what_is_wrong(tmp_path: Path, change: Any, text: str) -> None:
    tree = broken(change)
    with pytest.raises(SchemaError, match=text):
        validate(tree)
    with pytest.raises(SchemaError, match=text):
        write_run(tree, tmp_path / "run.nc")
    assert os.listdir(tmp_path) == []


def test_validate_checks_units() -> None:
    tree = build(10, snapshots=1)
    tree["queries/energy"].attrs["units"] = "pJ"
    with pytest.raises(SchemaError, match="energy: has units 'pJ'; expected 'J'"):
        validate(tree)
    del tree["queries/energy"].attrs["units"]
    with pytest.raises(SchemaError, match="energy: has units None; expected 'J'"):
        validate(tree)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lam": None}, "'lam' is missing"),
        ({"fault": None}, "'fault' is missing"),
        ({"lambda": np.zeros((20, 10), np.float32)}, "'lambda': not in the schema. Did you mean 'lam'"),
        ({"level": np.zeros((10, 20), np.float32)}, r"level: has shape \(10, 20\); expected \(20, 10\) or \(200,\)"),
        ({"conductance": np.zeros((20, 10), np.float32)}, r"conductance: has shape \(20, 10\)"),
        ({"pulse_count": np.zeros((20, 10))}, "pulse_count: has type float64; expected int32"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(change: dict[str, Any], text: str) -> None:
    recorder = RunRecorder(SHAPES, model(), 2)
    arrays = {**state(SHAPES[0], np.random.default_rng(0)), **change}
    with pytest.raises(SchemaError, match=f"snapshot of layer 0.*{text}"):
        recorder.snapshot(0, 0, 0, 0, {name: array for name, array in arrays.items() if array is not None})


def test_a_models_variable_cannot_take_a_name_of_the_schema() -> None:
    with pytest.raises(SchemaError, match="device model 'pair', variable 'lam': the record already has"):
        layer_variables(model(name="lam"))


def test_a_samplers_state_is_kept_apart_by_a_prefix() -> None:
    variables = (StateVar("lam", "float32", "1", "bias", recorded=True), StateVar("x", "int8", "1", "hidden"))
    sampler = SamplerModel("coin", "ideal", "a test", Params, State, (), variables, never, never, never)
    recorder = RunRecorder(SHAPES, model(), 2, sampler_model=sampler)
    arrays = state(SHAPES[0], np.random.default_rng(0))
    recorder.snapshot(0, 0, 0, 0, {**arrays, "sampler_lam": arrays["lam"] + 1})
    layer = finish(recorder)["layer_0"].to_dataset()
    np.testing.assert_array_equal(layer.sampler_lam.values, layer.lam.values + 1)
    assert "sampler_x" not in layer


def test_provenance_is_checked() -> None:
    with pytest.raises(SchemaError, match=r"'cpu_name' \(processor .*\): missing"):
        finish(RunRecorder(SHAPES, model(), 2), cpu_name=None)
    with pytest.raises(SchemaError, match="got '1'; expected int"):
        finish(RunRecorder(SHAPES, model(), 2), seed_data="1")


def test_attributes_become_what_netcdf_can_hold() -> None:
    given = {"b": True, "n": None, "d": {"z": [1, None], "a": 0.5}, "i": np.int32(3), "t": ("x",), "s": "text"}
    given["f"] = 0.1
    assert clean_attrs(given) == {
        "b": 1, "d": '{"a": 0.5, "z": [1, null]}', "f": 0.1, "i": 3, "s": "text", "t": '["x"]'
    }  # fmt: skip
    assert type(clean_attrs({"b": np.True_})["b"]) is int
    assert list(clean_attrs(given)) == sorted(clean_attrs(given))
    for bad in (Path("x"), 2**64, {"p": Path("x")}, {"x": float("nan")}, np.datetime64("2020-01-01"), object()):
        with pytest.raises(SchemaError, match="attribute 'bad'"):
            clean_attrs({"bad": bad})


def test_the_description_is_the_schema() -> None:
    text, page = describe(), describe_markdown()
    for var in VARIABLES:
        assert any(
            line.split()[0] == var.name and var.long_name in line for line in text.splitlines() if line.strip()
        ), var.name
        assert f"| {var.name}" in page
    for group in ("/queries", "/layer_0, /layer_1, ...", "/tasks", "/ledger", "/resources"):
        assert f"## `{group}`" in page
