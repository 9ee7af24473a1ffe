"""Cells as tasks of a real Dask scheduler, with workers that come and go, give the same bytes as local ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types

import pytest
from sweeping import write_tiny

from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError
from bimu_hw.sweep.collect import write_collected
from bimu_hw.sweep.dask_engine import SlurmRunner, _wait_for_worker, cluster_options
from bimu_hw.sweep.work import Work


def command(name, *words):
    pytest.importorskip("distributed", reason="Dask is not installed (bimu-hw[cluster])")
    loopback = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{name}", *words, *loopback], **quiet)


@pytest.fixture
def scheduler(tmp_path):
    """Yield the scheduler file of a cluster of two workers, and the processes of these."""
    file = tmp_path / "scheduler.json"
    processes = [command("scheduler", "--scheduler-file", str(file), "--port", "0")]
    worker = ("--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
    processes += [command("worker", *worker) for _ in range(2)]
    yield file, processes[1:]
    for process in reversed(processes):
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(scheduler, tmp_path, monkeypatch, capsys):
    file, workers = scheduler
    path = write_tiny(tmp_path)
    while not file.exists():
        assert workers[0].poll() is None
    options = ["--engine", "dask", "--scheduler", str(file), "--batch", "2", "--quiet"]
    killed = []
    settle = Work.settle

    def settle_and_kill(work, outcome):
        settle(work, outcome)
        if outcome.kind == "done" and not killed:
            workers[0].kill()
            killed.append(outcome.key)

    monkeypatch.setattr(Work, "settle", settle_and_kill)
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "dask"), *options]) == 0
    monkeypatch.undo()
    assert killed
    assert "16 of 16 cells are finished" in capsys.readouterr().out
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "local"), "--workers", "1", "--quiet"]) == 0
    first, second = (write_collected(tmp_path / name)[0].read_bytes() for name in ("dask", "local"))
    assert first == second


def test_a_scheduler_that_is_not_there_is_a_sentence(tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed (bimu-hw[cluster])")
    monkeypatch.setattr("bimu_hw.sweep.dask_engine._CONNECT_TIMEOUT", 1)
    path = write_tiny(tmp_path)
    words = ["sweep", str(path), "--out", str(tmp_path / "out"), "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"]
    assert run_commands(words) == 2
    assert "no Dask scheduler answers there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cluster", "queue=x"], "--cluster: has no effect with --engine local"),
        (["--scheduler", "x"], "--scheduler: has no effect with --engine local"),
        (["--engine", "dask", "--scheduler", "x", "--workers", "3"], "--workers: has no effect with --scheduler"),
        (["--engine", "slurm"], "say how many jobs"),
        (["--engine", "slurm", "--workers", "2", "--cluster", "queue"], "expected KEY=VALUE"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, words, tmp_path, capsys):
    path = write_tiny(tmp_path)
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_the_job_script_and_writes_nothing(tmp_path, capsys):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (bimu-hw[cluster])")
    path = write_tiny(tmp_path)
    cluster = ["queue=long", "walltime=02:30:00", "memory=3GB", "interface=lo"]
    options = [word for option in cluster for word in ("--cluster", option)]
    words = ["sweep", str(path), "--out", str(tmp_path / "out"), "--engine", "slurm", "--workers", "4", *options]
    assert run_commands([*words, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "16 cells (2 n_levels x 2 policy x 2 rate x 2 seed); all are valid." in printed
    for line in ("#SBATCH -p long", "#SBATCH -t 02:30:00", "#SBATCH --cpus-per-task=1", "export NUMBA_NUM_THREADS=1"):
        assert line in printed
    assert f"{sys.executable} -m distributed.cli.dask_worker tcp://" in printed
    assert not (tmp_path / "out").exists()


def test_who_waits_for_a_worker_is_told():
    said = []

    class Nobody:
        def wait_for_workers(self, n, timeout):
            raise TimeoutError

    plan = types.SimpleNamespace(keys=())
    _wait_for_worker(Work(plan, "", (), 0, None, False, lambda *one: None, said.append), Nobody())
    assert len(said) == 1
    assert said[0].startswith("No Dask worker has joined the scheduler")


def test_cluster_options_are_numbers_where_they_can_be():
    assert cluster_options(["cores=2", "walltime=01:00:00"]) == {"cores": 2, "walltime": "01:00:00"}


@pytest.mark.validation
@pytest.mark.skipif(shutil.which("sbatch") is None, reason="SLURM is not installed")
def test_jobs_of_slurm_run_a_sweep(tmp_path):
    """Needs a SLURM that SLURM_CONF leads to."""
    path = write_tiny(tmp_path)
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "local"), "--workers", "1", "--quiet"]) == 0
    options = ["--engine", "slurm", "--workers", "2", "--cluster", "memory=1GB", "--cluster", "interface=lo", "--quiet"]
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "slurm"), *options]) == 0
    first, second = (write_collected(tmp_path / name)[0].read_bytes() for name in ("slurm", "local"))
    assert first == second


def test_slurm_without_jobqueue_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    pytest.importorskip("distributed", reason="Dask is not installed (bimu-hw[cluster])")
    with pytest.raises(RunError, match=r'pip install "bimu-hw\[cluster\]"'):
        SlurmRunner(1, tmp_path, {}).describe()
