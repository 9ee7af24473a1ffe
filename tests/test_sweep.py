"""Sweeps end with the same numbers, however they were run and whatever happened to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sweeping import SHAPE, SWEEP, start, write_tiny

from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError
from bimu_hw.record.cells import CellTable, read_cells, write_cells
from bimu_hw.run import Run
from bimu_hw.scenario import make_scenario
from bimu_hw.sweep.batch import Outcome
from bimu_hw.sweep.collect import STATUS, collect, write_collected
from bimu_hw.sweep.folder import SweepFolder
from bimu_hw.sweep.plan import make_plan
from bimu_hw.sweep.process import CellProcess
from bimu_hw.sweep.work import Work

N = int(np.prod(SHAPE))


def finish(process, code=0):
    out, err = process.communicate(timeout=600)
    assert process.returncode == code, err
    return out, err


def sweep(scenario, out, *options, code=0):
    """Run a sweep to its end, driven from here."""
    assert run_commands(["sweep", str(scenario), "--out", str(out), "--quiet", *options]) == code


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("scenario"))


@pytest.fixture(scope="module")
def whole(scenario):
    """Return the folder of a sweep that nobody disturbed: one worker, one cell per file."""
    out = scenario.parent / "whole"
    sweep(scenario, out, "--workers", "1", "--batch", "1")
    return out


def results(out):
    """Return the bytes of the collected dataset."""
    return write_collected(out)[0].read_bytes()


def test_a_sweep_is_one_dataset_with_real_coordinates(whole):
    path, data = write_collected(whole)
    with xr.open_dataset(path, engine="h5netcdf") as stored:
        assert tuple(stored["accuracy"].sizes.values()) == SHAPE
        assert stored["accuracy"].dtype == np.float64
        assert not stored["accuracy"].isnull().any()
        assert (stored["status"] == STATUS["done"]).all()
        assert stored["status"].attrs["flag_meanings"].split() == list(STATUS)
        np.testing.assert_allclose(stored["rate"], [1e3, 1e5])
        assert stored["rate"].attrs["units"] == "Hz"
        assert list(stored["policy"].values) == ["always", "budgeted"]
        assert stored["energy_per_query_all"].attrs["units"] == "J"
        assert stored.sizes["task"] == 2
        for name, variable in stored.data_vars.items():
            assert {"units", "long_name"} <= {*variable.attrs, *(["units"] if name == "status" else [])}, name
        np.testing.assert_array_equal(stored["accuracy_per_task"].mean("task"), stored["accuracy"])
    assert data.attrs["n_done"] == N


def test_a_cell_has_the_numbers_of_a_run(whole):
    plan = SweepFolder(whole).plan()
    number = 11
    run = Run(make_scenario(plan.content(number), folder=plan.folder))
    run.accelerator.run()
    tree = run.finish()
    data = collect(whole).stack(cell=tuple(plan.sizes)).isel(cell=number)
    assert data["cell_key"] == plan.keys[number]
    assert float(data["energy_total"]) == pytest.approx(float(tree["ledger/energy"].sum()), rel=1e-12)
    np.testing.assert_array_equal(data["accuracy_per_task"], tree["tasks/accuracy"][-1])


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    """Return whether a process still does something; a dead one is listed until somebody asks for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="finds worker processes through /proc")
def test_a_sweep_whose_driver_and_worker_are_killed_ends_complete_and_equal(scenario, whole):
    out = scenario.parent / "killed"
    for n_files in (3, 7):
        driver = start(scenario, out, "--workers", "2", "--batch", "1")
        wait_for(lambda n=n_files: len(list(out.glob("cells/[!.]*.nc"))) >= n)
        workers = children(driver.pid)
        driver.kill()
        driver.communicate()
        # Its workers die with it: they would otherwise go on in the next one's way.
        wait_for(lambda pids=workers: not any(is_alive(pid) for pid in pids))
    done = len(SweepFolder(out).finished())
    assert 7 <= done < N
    driver = start(scenario, out, "--workers", "2", "--batch", "1", "--retries", "1")
    wait_for(lambda: len(list(out.glob("cells/[!.]*.nc"))) >= done + 2)
    os.kill(children(driver.pid)[0], signal.SIGKILL)
    printed, errors = finish(driver)
    assert f"{N} of {N} cells are finished, {N - done} of them now; 0 failed." in printed
    if "killed" in errors:  # the worker may have been between two cells
        (failure,) = SweepFolder(out).failed().values()
        assert "SIGKILL; the system does this when memory runs out" in failure["attempts"][0]["message"]
    assert results(out) == results(whole)


def test_an_interrupted_sweep_says_how_to_go_on_and_a_full_disk_loses_nothing(scenario, whole):
    out = scenario.parent / "interrupted"
    driver = start(scenario, out, "--workers", "1", "--batch", "1")
    wait_for(lambda: list(out.glob("cells/[!.]*.nc")))
    driver.send_signal(signal.SIGINT)
    _, errors = finish(driver, 130)
    assert "Interrupted. Go on with the same command: bimu-hw sweep " in errors
    assert "Traceback" not in errors
    done = len(SweepFolder(out).finished())
    # Neither a file of a cell nor what a run keeps meanwhile fits into eight blocks.
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *driver.args]
    full = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert full.returncode == 2
    assert "File too large" in full.stderr or "disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    assert len(SweepFolder(out).finished()) == done
    sweep(scenario, out, "--workers", "1")
    assert results(out) == results(whole)


def test_a_second_driver_is_refused(whole, scenario, capsys):
    with SweepFolder(whole).held():
        assert run_commands(["sweep", str(scenario), "--out", str(whole)]) == 2
    assert "another process drives a sweep there" in capsys.readouterr().err


def test_two_workers_and_batches_give_the_same_bytes_and_a_damaged_file_runs_again(scenario, whole, capsys):
    out = scenario.parent / "two"
    sweep(scenario, out, "--workers", "2", "--batch", "4")
    assert results(out) == results(whole)
    files = sorted((out / "cells").glob("*.nc"))
    content = bytearray(files[0].read_bytes())
    table = read_cells(files[0])
    at = content.find(np.float64(table.numbers["energy_total"][0]).tobytes())
    content[at] ^= 1  # one bit of one number
    files[0].write_bytes(content)
    files[1].write_bytes(files[1].read_bytes()[:5000])
    n_lost = N - len(SweepFolder(out).finished())
    assert n_lost >= len(table.keys)
    # Who only looks changes nothing.
    assert run_commands(["status", str(out)]) == 0
    assert f"missing    {n_lost:>7}" in capsys.readouterr().out
    assert collect(out).attrs["n_done"] == N - n_lost
    assert int(collect(out)["accuracy"].isnull().sum()) == n_lost
    sweep(scenario, out, "--workers", "1")
    assert len(list((out / "quarantine").iterdir())) == 2
    assert results(out) == results(whole)


def test_what_fails_is_recorded_and_stops_nobody(tmp_path, capsys):
    # A data set that is damaged after the cells were checked fails when it is read; the axis says which cells need it.
    np.savez(tmp_path / "bad.npz", x_train=np.zeros((2, 4)))
    sweep = '[sweep]\n[[sweep.axis]]\nkey = "stream.dataset"\nvalues = ["digits", "bad.npz"]\n'
    path, out = write_tiny(tmp_path, sweep), tmp_path / "out"
    assert run_commands(["sweep", str(path), "--out", str(out), "--workers", "1", "--retries", "1", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 cells are finished, 1 of them now; 1 failed." in printed.out
    assert "dataset = 'bad.npz'" in printed.err
    (failure,) = SweepFolder(out).failed().values()
    assert [attempt["status"] for attempt in failure["attempts"]] == ["failed", "failed"]
    assert "Traceback" in failure["attempts"][0]["traceback"]
    data = collect(out)
    assert list(data["status"].values.ravel()) == [STATUS["done"], STATUS["failed"]]
    assert np.isnan(data["accuracy"].values).ravel().tolist() == [False, True]
    assert run_commands(["status", str(out), "--failures"]) == 0
    assert "Traceback" in capsys.readouterr().out


def test_a_cell_that_takes_too_long_is_killed(tmp_path, capsys):
    sweep = '[sweep]\n[[sweep.axis]]\nkey = "stream.examples"\nvalues = [400000]\n'
    path, out = write_tiny(tmp_path, sweep), tmp_path / "out"
    options = ["--set", "stream.epochs=1000", "--workers", "1", "--cell-timeout", "2", "--quiet"]
    assert run_commands(["sweep", str(path), "--out", str(out), *options]) == 1
    assert "timed_out: took longer than the 2 s of --cell-timeout" in capsys.readouterr().err
    assert list(collect(out)["status"].values.ravel()) == [STATUS["timed_out"]]


def test_a_cell_replays_to_the_same_bits(whole, capsys):
    key = SweepFolder(whole).plan().keys[5]
    assert run_commands(["replay", f"{whole}/{key[:10]}"]) == 0
    assert "numbers are the same, bit by bit." in capsys.readouterr().out
    assert run_commands(["replay", f"{whole}/zzz"]) == 2


def test_a_replay_sees_one_wrong_bit_and_another_processor(scenario, whole, capsys, tmp_path):
    plan = SweepFolder(whole).plan()
    folder = SweepFolder(tmp_path / "changed")
    with folder.held():
        folder.store(plan)
        table = CellTable.join(SweepFolder(whole).tables())
        row = table.keys.index(plan.keys[0])
        table.numbers["energy_total"][row] = np.nextafter(table.numbers["energy_total"][row], 1)
        table.texts["cpu"][row] = "abacus (features none)"
        folder.save(table)
    assert run_commands(["replay", f"{folder.out}/{plan.keys[0]}"]) == 1
    printed = capsys.readouterr().out
    assert "numbers differ:\n  energy_total: [" in printed
    assert "The processor differs: abacus" in printed


def test_another_sweep_takes_over_the_cells_that_it_shares(scenario, whole, capsys):
    out = scenario.parent / "other"
    shutil.copytree(whole, out)
    place = scenario.parent / "less"
    place.mkdir()
    sweep(write_tiny(place, SWEEP.replace("[4, 16]", "[16]")), out)
    printed = capsys.readouterr()
    assert f"{N // 2} of {N // 2} cells are finished, 0 of them now; 0 failed." in printed.out
    assert "the sweep has changed" in printed.err
    assert collect(out).sizes["n_levels"] == 1
    sweep(scenario, out)
    assert f"{N} of {N} cells are finished, 0 of them now" in capsys.readouterr().out
    assert results(out) == results(whole)


def test_cells_of_other_sources_are_not_mixed(scenario, whole, capsys, monkeypatch):
    monkeypatch.setattr("bimu_hw.sweep.plan.source_digest", lambda models: "other")
    sweep(scenario, whole, code=2)
    assert "was begun with bimu-hw" in capsys.readouterr().err


def test_whole_runs_are_kept_on_request(tmp_path, capsys):
    path, out = write_tiny(tmp_path, ""), tmp_path / "out"
    assert run_commands(["sweep", str(path), "--out", str(out), "--seeds", "0:1", "--keep-runs", "--quiet"]) == 0
    (run,) = (out / "runs").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["accuracy"] == float(collect(out)["accuracy"].item())


# Parts


def one(key, n_tasks=2, **numbers):
    units = {**dict.fromkeys(numbers, "J"), "accuracy_per_task": "1"}
    return CellTable.of(key, numbers, {"accuracy_per_task": np.arange(n_tasks, dtype=float)}, {"cpu": key}, units)


def test_tables_of_different_cells_join_and_come_back_from_disk(tmp_path):
    table = CellTable.join([one("a", 2, x=1.0), one("b", 3, y=2.0), one("c", 1, x=np.inf)])
    np.testing.assert_array_equal(table.numbers["x"], [1.0, np.nan, np.inf])
    np.testing.assert_array_equal(table.tasks["accuracy_per_task"], [[0, 1, np.nan], [0, 1, 2], [0, np.nan, np.nan]])
    write_cells(table, tmp_path / "t.nc")
    back = read_cells(tmp_path / "t.nc")
    assert back.digest() == table.digest()
    assert back.units == table.units
    with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as data:
        assert dict(data.sizes) == {"cell": 3, "task": 3}
        assert list(data["cell_key"].values) == ["a", "b", "c"]


def test_many_files_become_one_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)
    folder = SweepFolder(tmp_path)
    folder.cells.mkdir()
    for k in range(12):
        folder.save(one(f"{k:024x}", x=float(k)))
    folder.save(one(f"{0:024x}", x=0.0))  # computed twice: by a driver that died and by the next
    assert len(folder.tables()) == 12
    folder.pack(least=13)
    assert len(list(folder.cells.iterdir())) == 1
    (table,) = folder.tables()
    assert sorted(table.numbers["x"]) == list(range(12))


class Told(list):
    def __call__(self, number, outcome, last):
        self.append((number, outcome.kind, last))


def test_work_is_retried_as_asked_and_innocent_losses_do_not_count(scenario):
    told = Told()
    plan = make_plan(scenario)
    work = Work(plan, "out", range(4), 1, 3, False, told)
    first = work.next_batch(1)
    keys = [key for key, _ in first.cells]
    assert keys == list(plan.keys[:3])
    for outcome in (Outcome(keys[0], "done", 1.0), Outcome(keys[1], "killed"), Outcome(keys[2], "lost")):
        work.settle(outcome)
    assert told == [(0, "done", True), (1, "killed", False)]
    # The lost cell comes first, and the one that broke runs alone.
    assert [key for key, _ in work.next_batch(1).cells] == [keys[2], plan.keys[3]]
    assert [key for key, _ in work.next_batch(1).cells] == [keys[1]]
    assert work.next_batch(1) is None
    work.settle(Outcome(keys[1], "killed"))
    assert told[-1] == (1, "killed", True)
    assert work.n_open == 2


def test_a_process_that_cannot_start_is_no_endless_loop(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    process = CellProcess()
    with pytest.raises(RunError, match="ended before it could"):
        process.listen()
