"""A run that is stopped, killed or damaged goes on to the same bits, or is refused with the reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from building import make_card
from test_accelerator import N_SAMPLE, Watcher, assemble

import bimu_hw
from bimu_hw import checkpoint
from bimu_hw.accelerator.architecture import Architecture
from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.oracle import LabelTimes
from bimu_hw.accelerator.spec import Sleep
from bimu_hw.checkpoint import CHECKPOINT_VERSION, Checkpoints, read_checkpoint, source_digest, write_checkpoint
from bimu_hw.cli import run_commands
from bimu_hw.errors import DamagedError, RunError
from bimu_hw.run import Run, resume_run, run_scenario
from bimu_hw.run_folder import RunFolder
from bimu_hw.scenario import load_scenario

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
SHORT = ("stream.examples=160", "stream.tasks=2", "evaluation.examples=40")
ALWAYS = "record.checkpoint_interval=0 s"
LATE = ("labels.latency=3 ms", "accelerator.rate=12 kHz", "accelerator.queue=2", "device.residue_bits=4")
IN_FLIGHT = (
    "architecture.pipeline=queries", "architecture.in_flight=4", "architecture.interconnect=bus",
    "labels.latency=100 us", "labels.distribution=exponential", "accelerator.rate=200 kHz", "accelerator.queue=8",
    "record.timeline=3000",
)  # fmt: skip
BAYESBINN = (
    "learning.rule=bayesbinn", "learning.lr_max=", "learning.likelihood_multiplier=", "learning.kl_multiplier=",
    "learning.memory_window=", "learning.lr=1.0", "learning.prior_strength=0.01", "record.per_query_limit=40",
)  # fmt: skip



@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Do not wait for the disk: no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


# The accelerator


class _StopError(Exception):
    pass


class Stopper(Watcher):
    """Watches, and stops the run between two jobs; lets go of nothing that was seen."""

    def __init__(self, watcher: Watcher, after: int) -> None:
        self.rows, self.late, self.spent, self._left = watcher.rows, watcher.late, watcher.spent, after

    def between_jobs(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _StopError


def random_labels(rng: np.random.Generator) -> LabelTimes:
    """Return an oracle: any latency, distribution, number of annotators and deadline."""
    return LabelTimes(
        int(rng.choice([0, 1, 200_000, 3_000_000, 40_000_000])),
        str(rng.choice(["constant", "exponential", "lognormal"])), 0.7, int(rng.choice([0, 1, 3])),
        int(rng.choice([0, 0, 2_000_000])), 5,
    )  # fmt: skip


def random_architecture(rng: np.random.Generator) -> Architecture:
    """Return a chip that shares and pipelines anything."""
    return Architecture(
        str(rng.choice(["none", "samples", "queries", "queries"])), int(rng.choice([1, 2, 5])), 1,
        int(rng.choice([0, 7])), int(rng.choice([1, 2])), int(rng.choice([0, 1, 2])), int(rng.choice([0, 1])),
        int(rng.choice([-1, 0, 2])),
    )  # fmt: skip


def random_options(rng: np.random.Generator) -> dict:
    """Return a small accelerator: any arrivals, queue, latency, policy of labels and of pulses."""
    arrivals = [
        Arrivals("back_to_back"),
        Arrivals("poisson", float(rng.uniform(2e5, 1e7)), int(rng.integers(100))),
        Arrivals("periodic", 1e12 / int(rng.choice([100_000, 400_000, 1_000_000, 3_000_000]))),
    ][rng.integers(3)]
    policies = [("always", {}), ("random", {"rate": 0.6}), ("variation_ratio", {"threshold": 1 / N_SAMPLE})]
    return {
        "arrivals": arrivals,
        "queue": int(rng.choice([0, 1, 1, 2, 50])),
        # Multiples of periods and stages, so that much is due at one tick.
        "labels": random_labels(rng),
        "architecture": random_architecture(rng),
        "back_pressure": rng.random() < 0.3,
        "priority": str(rng.choice(["update_first", "inference_first", "fifo"])),
        "refresh": int(rng.choice([0, 0, 5_000_000])),
        "sleep": Sleep(int(rng.choice([0, 300_000])), int(rng.choice([0, 70_000]))) if rng.integers(2) else None,
        "policy": policies[rng.integers(3)],
        "gating": bool(rng.integers(2)),
        "policy_of_device": str(rng.choice(["deterministic", "stochastic", "residue"])),
        "storage": make_card(
            "soft_bounds_pair", n_levels=16, read_time=1e-9, pulse_width_up=1e-9, pulse_width_down=2e-9,
            sigma_c2c=0.1, sigma_d2d=0.1, read_noise=0.3,
        ) if rng.integers(2) else None,
    }  # fmt: skip


def plain(tally) -> list:
    return [tally.counts.tolist(), tally.array_joules]


def account(accelerator, watcher) -> dict:
    a = accelerator
    rows = [{**vars(row), "spent": plain(row.spent)} for row in watcher.rows]
    return {
        "rows": rows, "late": watcher.late, "spent": {k: [plain(t) for t in v] for k, v in watcher.spent.items()},
        "counts": a.ledger.counts.tolist(), "joules": a.ledger.array_joules.tolist(),
        "usage": {name: vars(usage) for name, usage in a.usage.items()},
        "numbers": (a.seen, a.requested, a.dropped, a.stale, a.learned, a.event_count, a.duration_ticks, a.wakes),
        "times": (a.asleep_ticks, a.in_system_ticks, a.sojourn_ticks, a.oracle.busy_ticks, a.oracle.labels),
        "lam": [s.lam.tolist() for s in a.chip.layers], "residue": [s.residue.tolist() for s in a.chip.layers],
        "pulses": [s.state.pulse_count.tolist() for s in a.chip.layers],
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_an_accelerator_stopped_between_jobs_goes_on_in_the_same_order(seed, tmp_path):
    rng = np.random.default_rng([17, seed])
    options = random_options(rng)
    if seed >= 24:
        # One forward pass predicts and teaches: its update is under way when the query is answered.
        options["policy"] = ("given", {})
        options["architecture"] = replace(options["architecture"], pipeline="queries", in_flight=3)
    whole, seen = assemble(60, **options)
    whole.run()
    every = int(rng.integers(1, 5))
    accelerator, watcher = assemble(60, **options)
    stops = 0
    while True:
        accelerator.observer = Stopper(watcher, every)
        try:
            accelerator.run()
            break
        except _StopError:
            stops += 1
        write_checkpoint(tmp_path / "state.npz", accelerator.state(), {})
        state, _ = read_checkpoint(tmp_path / "state.npz")
        accelerator, _ = assemble(60, **options)
        accelerator.restore(state)
    assert stops >= 2
    for row, other in zip(watcher.rows, seen.rows, strict=True):
        # A query whose label came after a stop is another object: what was learned of it is in `late` and `spent`.
        for name in ("label_tick", "updated", "pulses", "number", "spent"):
            setattr(row, name, getattr(other, name))
    assert account(accelerator, watcher) == account(whole, seen)


def test_the_random_accelerators_drop_wait_and_meet_at_one_tick():
    """Without queues that overflow and labels on their way the test above would see little."""
    seen = dict.fromkeys(
        ("dropped", "late", "stale", "refreshed", "woken", "queries", "samples", "none", "back_to_back", "poisson",
         "periodic"), 0,
    )  # fmt: skip
    for seed in range(24):
        options = random_options(np.random.default_rng([17, seed]))
        accelerator, watcher = assemble(60, **options)
        accelerator.run()
        seen["dropped"] += accelerator.dropped > 5
        seen["late"] += options["labels"].latency > 0 and len(watcher.late) > 5
        seen["stale"] += accelerator.stale > 2
        seen["refreshed"] += options["refresh"] > 0
        seen["woken"] += accelerator.wakes > 2
        seen["queries"] += options["architecture"].pipeline == "queries"
        seen["samples"] += options["architecture"].pipeline == "samples"
        seen["none"] += options["architecture"].pipeline == "none"
        seen[options["arrivals"].kind] += 1
    assert min(seen.values()) >= 2


def test_a_restored_end_is_an_end():
    whole, _ = assemble(10)
    whole.run()
    again, _ = assemble(10)
    again.restore(whole.state())
    again.run()
    assert again.ended
    assert again.duration_ticks == whole.duration_ticks
    assert np.array_equal(again.ledger.counts, whole.ledger.counts)


# A run


@pytest.fixture(scope="module", params=[(), (*LATE, *BAYESBINN)], ids=["bimu", "bayesbinn, late labels, blocks"])
def whole(request, tmp_path_factory):
    """A run that nobody disturbed: its folder, and the overrides it was made with."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    overrides = (*SHORT, *request.param)
    run_scenario(load_scenario(QUICKSTART, overrides), folder, progress=False)
    return folder, overrides


def interrupt_every(monkeypatch, n):
    """Let Ctrl-C come in the middle of every n-th query; return the list of queries it came in."""
    real, stops, seen = Run.before_query, [], [0]

    def before_query(self, index, tick):
        real(self, index, tick)
        seen[0] += 1
        if seen[0] % n == 0:
            stops.append(index)
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "before_query", before_query)
    return stops


def resume_until_done(folder):
    while True:
        try:
            return resume_run(folder, progress=False)
        except KeyboardInterrupt:
            pass


def assert_equal_folders(a, b):
    assert sorted(os.listdir(a)) == sorted(os.listdir(b))
    for name in os.listdir(a):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def test_a_run_interrupted_again_and_again_ends_with_the_same_bytes(whole, tmp_path, monkeypatch):
    reference, overrides = whole
    out = tmp_path / "run"
    stops = interrupt_every(monkeypatch, 37)
    with pytest.raises(KeyboardInterrupt, match="Resume with: bimu-hw resume"):
        run_scenario(load_scenario(QUICKSTART, (*overrides, ALWAYS)), out, progress=False)
    assert len(list((out / ".run").glob("checkpoint-*.npz"))) == 2
    assert not list(out.glob("*.nc"))
    result = resume_until_done(out)
    assert len(stops) >= 3
    assert stops == sorted(set(stops)), "a stop cost queries that were saved"
    assert result.summary == json.loads((reference / "summary.json").read_text()) | result.summary
    assert_equal_folders(reference, out)


def test_without_a_checkpoint_it_starts_again(whole, tmp_path, monkeypatch):
    reference, overrides = whole
    out = tmp_path / "run"
    stops = interrupt_every(monkeypatch, 70)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(load_scenario(QUICKSTART, overrides), out, progress=False)
    assert not list((out / ".run").glob("checkpoint-*.npz"))
    monkeypatch.undo()
    resume_run(out, progress=False)
    assert len(stops) == 1
    assert_equal_folders(reference, out)


@pytest.mark.parametrize(
    "more",
    [(), ("components.params.adc_noise=1.0",), ("crossbar.ir_drop=exact", "network.hidden=[12]")],
    ids=["plain", "noisy converters", "wires"],
)
def test_the_last_evaluation_is_resumed_task_by_task(tmp_path, monkeypatch, more):
    overrides = ("stream.examples=60", "stream.tasks=6", "evaluation.examples=10", "evaluation.newest=2", ALWAYS, *more)
    run_scenario(load_scenario(QUICKSTART, overrides), tmp_path / "whole", progress=False)
    real, tasks = bimu_hw.run.TaskStream.test_codes, []

    def test_codes(self, task):
        tasks.append(task)
        if len(tasks) in (13, 15, 16):
            raise KeyboardInterrupt
        return real(self, task)

    monkeypatch.setattr(bimu_hw.run.TaskStream, "test_codes", test_codes)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(load_scenario(QUICKSTART, overrides), tmp_path / "run", progress=False)
    resume_until_done(tmp_path / "run")
    assert tasks == [0, 0, 1, 1, 2, 2, 3, 3, 4, 0, 1, 2, 3, 3, 4, 4, 4, 5]
    assert_equal_folders(tmp_path / "whole", tmp_path / "run")


def test_the_progress_bar_starts_where_the_run_is(tmp_path, monkeypatch, capsys):
    interrupt_every(monkeypatch, 100)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(load_scenario(QUICKSTART, (*SHORT, ALWAYS)), tmp_path / "run", progress=False)
    monkeypatch.undo()
    capsys.readouterr()
    resume_run(tmp_path / "run", progress=True)
    shown = capsys.readouterr().err
    counts = [int(part.split("/160")[0].split()[-1]) for part in shown.split("\r") if "/160" in part]
    assert 90 <= min(counts) <= 160


# Processes that are killed


def kill_and_compare(tmp_path, seed, n_random, *overrides, points="every"):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killing.py")), str(tmp_path), str(seed), str(n_random), points,
         "record.checkpoint_interval=0 s", *overrides],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])["ends"]
    assert ends[-1] == ["nobody kills it", 0, True], done.stderr
    killed = [name for name, code, _ in ends if code == -signal.SIGKILL]
    if points == "every":
        assert len(killed) >= 13, ends
        assert killed[-1] == "when all is gone but an empty folder"
    assert len(killed) >= n_random, ends
    assert_equal_folders(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "more"), [(1, ()), (2, LATE)], ids=["prompt", "late labels"])
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(tmp_path, seed, more):
    kill_and_compare(tmp_path, seed, 4, *SHORT, "stream.examples=300", *more)


@pytest.mark.slow
def test_a_run_with_queries_in_flight_killed_at_random_ends_with_the_same_bytes(tmp_path):
    """Four queries in flight, some twenty labels on their way, stages of the beginning recorded one by one."""
    kill_and_compare(tmp_path, 3, 4, *SHORT, *IN_FLIGHT, points="random")


@pytest.mark.validation
@pytest.mark.parametrize("seed", range(4))
def test_a_long_run_killed_forty_times_ends_with_the_same_bytes(tmp_path, seed):
    kill_and_compare(tmp_path, seed, 40, "stream.tasks=3", *(LATE if seed % 2 else ()))


# What is refused, and what is passed over


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder with a run that was interrupted at query 50 and has two checkpoints."""
    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        interrupt_every(patch, 50)
        with pytest.raises(KeyboardInterrupt):
            run_scenario(load_scenario(QUICKSTART, (*SHORT, ALWAYS)), out, progress=False)
    return out


def sentence(capsys):
    message = capsys.readouterr().err.strip()
    assert "Traceback" not in message
    assert "\n" not in message
    return message


def test_a_second_run_into_the_folder_is_told_to_resume(stopped, capsys):
    arguments = ["run", str(QUICKSTART), "--out", str(stopped), "--quiet"]
    assert run_commands(arguments) == 2
    assert f"holds an unfinished run; go on with bimu-hw resume {stopped}" in sentence(capsys)
    assert run_commands([*arguments, "--overwrite", "--set", "stream.examples=20", "--set", "stream.tasks=1"]) == 0
    assert ".run" not in os.listdir(stopped)
    capsys.readouterr()
    assert run_commands(["resume", str(stopped)]) == 0
    assert "the run is finished; there is nothing to resume" in capsys.readouterr().out


def test_nothing_to_resume(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert run_commands(["resume", str(folder)]) == 2
        assert f"{folder}: holds no run to resume" in sentence(capsys)
        assert not folder.joinpath(".run").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    interrupt_every(monkeypatch, 30)
    out = tmp_path / "with space"
    given = [word for override in SHORT for word in ("--set", override)]
    assert run_commands(["run", str(QUICKSTART), "--out", str(out), "--quiet", *given]) == 130
    assert sentence(capsys) == f"Interrupted. Resume with: bimu-hw resume '{out}'"
    assert run_commands(["resume", str(out), "--quiet"]) == 130
    assert sentence(capsys) == f"Interrupted. Resume with: bimu-hw resume '{out}'"


def test_two_processes_do_not_share_a_folder(stopped, capsys):
    with RunFolder(stopped).reopen():
        for arguments in (["resume", str(stopped)], ["run", str(QUICKSTART), "--out", str(stopped), "--overwrite"]):
            assert run_commands(arguments) == 2
            assert "another process runs there" in sentence(capsys)
    with RunFolder(stopped).reopen():
        pass  # a lock that was let go is free


def newest(folder):
    return max((folder / ".run").glob("checkpoint-*.npz"), key=lambda path: int(path.stem.split("-")[1]))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "snapshot"])
def test_a_damaged_checkpoint_is_passed_over(stopped, capsys, damage, tmp_path):
    path = newest(stopped)
    content = bytearray(path.read_bytes())
    if damage == "snapshot":
        (state, identity), path_of_snapshots = read_checkpoint(path), stopped / ".run" / "layer_0.lam"
        state["recorder"]["snapshots"][0] += 1
        write_checkpoint(path, state, identity)
        assert path_of_snapshots.is_file()
    else:
        content = content[: len(content) // 2] if damage == "cut" else content if damage == "flipped" else b""
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert run_commands(["resume", str(stopped), "--quiet"]) == 0
    message = sentence(capsys)
    assert message.endswith("The one before it is used.")
    run_scenario(load_scenario(QUICKSTART, SHORT), tmp_path / "whole", progress=False)
    assert_equal_folders(tmp_path / "whole", stopped)


def test_two_damaged_checkpoints_are_an_error(stopped, capsys):
    for path in (stopped / ".run").glob("checkpoint-*.npz"):
        path.write_bytes(b"no archive")
    assert run_commands(["resume", str(stopped), "--quiet"]) == 2
    assert "There is no other; start again with run --overwrite." in capsys.readouterr().err


def test_an_older_or_foreign_checkpoint_is_refused_with_the_reason(stopped, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHECKPOINT_VERSION", CHECKPOINT_VERSION + 1)
    assert run_commands(["resume", str(stopped)]) == 2
    assert f"has checkpoint version {CHECKPOINT_VERSION}, written by bimu-hw" in sentence(capsys)
    monkeypatch.undo()
    monkeypatch.setattr(bimu_hw.run, "source_digest", lambda models: "other sources")
    assert run_commands(["resume", str(stopped)]) == 2
    message = sentence(capsys)
    assert "source digest was" in message
    assert "is other sources now; restore what it was, or start again with run --overwrite." in message
    monkeypatch.undo()
    monkeypatch.setattr(bimu_hw.run.np, "__version__", "0.0")
    assert run_commands(["resume", str(stopped)]) == 2
    assert "numpy version was" in sentence(capsys)
    monkeypatch.undo()
    assert run_commands(["resume", str(stopped), "--quiet"]) == 0


def test_a_card_that_has_changed_is_refused(tmp_path, monkeypatch, capsys):
    card = tmp_path / "mine.toml"
    shipped = (ROOT / "device_models" / "cards" / "dw_notched.toml").read_text()
    card.write_text(shipped)
    scenario = load_scenario(QUICKSTART, (*SHORT, f"device.storage={card}"))
    with monkeypatch.context() as patch:
        interrupt_every(patch, 20)
        with pytest.raises(KeyboardInterrupt):
            run_scenario(scenario, tmp_path / "run", progress=False)
    card.write_text(shipped.replace('value = "10 ns"', 'value = "11 ns"'))
    assert load_scenario(QUICKSTART, (*SHORT, f"device.storage={card}")).hash != scenario.hash
    assert run_commands(["resume", str(tmp_path / "run")]) == 2
    assert "its scenario gives other values than when it was begun" in sentence(capsys)
    card.unlink()
    assert run_commands(["resume", str(tmp_path / "run")]) == 2
    assert "mine.toml" in sentence(capsys)
    card.write_text(shipped)
    assert run_commands(["resume", str(tmp_path / "run"), "--quiet"]) == 0


def test_overrides_seed_and_folder_are_kept(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(QUICKSTART.read_text())
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario("mine.toml", (*SHORT, "seeds.noise=3"), seed=7)
    with RunFolder("out").begin(scenario, overwrite=False):
        pass
    (tmp_path / "mine.toml").unlink()
    monkeypatch.chdir("/")
    with RunFolder(tmp_path / "out").reopen() as again:
        assert again is not None
        assert again.resolved() == scenario.resolved()
        assert (again.name, again.hash, again.run_name) == (scenario.name, scenario.hash, scenario.run_name)
        assert again.folder == tmp_path


# The files


def test_a_state_comes_back_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.zeros(3, [("tick", "i8"), ("x", "f8")])
    rows["x"] = rng.normal(size=3)
    state = {
        "large": 10**30, "nan": float("nan"), "third": 1 / 3, "none": None, "true": True, "list": [[1, 2], [3, 4]],
        "rows": rows, "empty": np.zeros((0, 4), np.float32), "nothing": {}, "number": np.int64(3),
        "deep": {"0": {"scalar": np.array(0.1), "bytes": rng.integers(0, 255, 9).astype(np.uint8)}},
    }  # fmt: skip
    write_checkpoint(tmp_path / "x.npz", state, {"who": "me"})
    found, identity = read_checkpoint(tmp_path / "x.npz")
    assert identity == {"who": "me"}
    assert found["large"] == 10**30
    assert np.isnan(found["nan"])
    for name in ("third", "none", "true", "list", "nothing", "number"):
        assert found[name] == state[name]
    for a, b in ((found["rows"], rows), (found["empty"], state["empty"]), (found["deep"]["0"]["scalar"], 0.1)):
        assert np.array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
    assert os.listdir(tmp_path) == ["x.npz"]


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    np.savez(tmp_path / "x.npz", header=np.array([Evil()], object))
    with pytest.raises(DamagedError, match=r"x\.npz: is damaged"):
        read_checkpoint(tmp_path / "x.npz")
    assert not (tmp_path / "ran").exists()


def test_checkpoints_are_few_and_rare(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    real = checkpoint.write_checkpoint

    def slow(*arguments):
        real(*arguments)
        now[0] += 1.0

    monkeypatch.setattr(checkpoint, "write_checkpoint", slow)
    checkpoints, taken = Checkpoints(tmp_path, {}, 30.0), []
    while now[0] < 1000.0:
        checkpoints.offer(lambda: taken.append(now[0]) or {"now": now[0]})
        now[0] += 0.5
    # The first after the interval; then fifty times what one takes, which is longer.
    assert taken[0] == 130.0
    assert all(b - a == pytest.approx(51.0, abs=0.5) for a, b in pairwise(taken))
    assert len(os.listdir(tmp_path)) == 2
    found = []
    assert Checkpoints(tmp_path, {}, 30.0).restore(lambda state: found.append(state["now"]), print)
    assert found == [taken[-1]]
    with pytest.raises(RunError, match="who was None and is me now"):
        Checkpoints(tmp_path, {"who": "me"}, 30.0).restore(found.append, print)


def test_a_full_disk_leaves_the_checkpoints_there_are(stopped, monkeypatch, capsys):
    before = sorted(path.name for path in (stopped / ".run").glob("checkpoint*"))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    assert run_commands(["resume", str(stopped), "--quiet"]) == 2
    assert "the disk is full" in sentence(capsys)
    assert sorted(path.name for path in (stopped / ".run").glob("*checkpoint*")) == before
    monkeypatch.undo()
    assert run_commands(["resume", str(stopped), "--quiet"]) == 0


def test_the_digest_follows_the_sources(tmp_path, monkeypatch):
    package = tmp_path / "strange_devices"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("MODEL = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = source_digest(["strange_devices.one"])
    assert first == source_digest(["strange_devices.one"]) != source_digest()
    (package / "one.py").write_text("MODEL = 2\n")
    assert source_digest(["strange_devices.one"]) != first
