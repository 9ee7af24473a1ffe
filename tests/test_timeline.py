"""The timeline: the same run with and without, rows that fit into it, a trace that keeps the rules of its format."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from house import ROOT
from test_accelerator import assemble
from test_resume import account, random_options

from bimu_hw import load_scenario, open_run, run_scenario
from bimu_hw.accelerator.architecture import Architecture
from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.oracle import LabelTimes
from bimu_hw.accelerator.timeline import JOBS
from bimu_hw.cli import commands


def timed(limit, **options):
    accelerator, watcher = assemble(60, timeline=limit, **options)
    accelerator.run()
    return accelerator, watcher


@pytest.mark.parametrize("seed", range(8))
def test_recording_changes_nothing_and_the_stages_add_up(seed):
    """As long as there is room, the rows of a track are the work of its resource, to the tick."""
    options = random_options(np.random.default_rng([41, seed]))
    plain, seen = assemble(60, **options)
    plain.run()
    accelerator, watcher = timed(100_000, **options)
    assert account(accelerator, watcher) == account(plain, seen)
    rows = accelerator.timeline.columns()
    tracks = [accelerator.timeline.tracks[i] for i in rows["event_track"]]
    for word, resource in (("arrays", "arrays"), ("digital", "digital"), ("write", "write_drivers")):
        mine = [track.startswith(word) for track in tracks]
        assert rows["ticks"][mine].sum() == accelerator.usage[resource].busy_ticks, word
    sojourns = rows["ticks"][rows["job"] == JOBS.index("sojourn")]
    assert sojourns.sum() == accelerator.sojourn_ticks
    assert (rows["start_tick"] + rows["ticks"]).max() <= accelerator.duration_ticks
    few, _ = timed(50, **options)
    assert len(few.timeline.columns()["ticks"]) == 50


def test_stages_of_one_array_never_overlap():
    accelerator, _ = timed(
        100_000, arrivals=Arrivals("poisson", 8e6, 1), queue=0, labels=LabelTimes(300_000, "exponential", seed=1),
        architecture=Architecture("queries", 4),
    )  # fmt: skip
    rows = accelerator.timeline.columns()
    for k in range(2):
        # Who writes to an array occupies it.
        names = (f"arrays of layer {k}", f"write drivers of layer {k}")
        mine = np.isin(rows["event_track"], [accelerator.timeline.tracks.index(name) for name in names])
        order = np.lexsort((rows["ticks"][mine], rows["start_tick"][mine]))
        start, ticks = rows["start_tick"][mine][order], rows["ticks"][mine][order]
        assert (start[1:] >= (start + ticks)[:-1]).all()
        assert len(start) > 100


#: What the Trace Event Format asks of the events used here.
REQUIRED = {"X": {"name", "ph", "ts", "dur", "pid", "tid"}, "M": {"name", "ph", "pid", "tid", "args"}}


def test_the_command_writes_a_trace_that_keeps_the_rules_of_its_format(tmp_path):
    overrides = (
        "stream.examples=40", "stream.tasks=1", "evaluation.examples=5", "record.timeline=4000", "record.state=false",
        "architecture.pipeline=queries", "architecture.in_flight=3", "labels.latency=5 us", "accelerator.rate=300 kHz",
    )  # fmt: skip
    run_scenario(load_scenario(ROOT / "scenarios" / "quickstart.toml", overrides), tmp_path / "run", progress=False)
    done = CliRunner().invoke(commands, ["trace", str(tmp_path / "run"), "-o", str(tmp_path / "trace.json")])
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "trace.json").read_text())
    assert content["displayTimeUnit"] in ("ms", "ns")
    events = content["traceEvents"]
    assert {event["ph"] for event in events} == set(REQUIRED)
    lanes = {}
    for event in events:
        assert set(event) >= REQUIRED[event["ph"]]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            lanes.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
        else:
            assert isinstance(event["args"].get("name", ""), str)
    named = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert set(lanes) == set(named)
    for word in ("arrays of layer 0", "converters of layer 0", "digital units", "queries", "annotators"):
        assert word in named.values()
    for spans in lanes.values():
        spans.sort()
        assert all(begin >= end - 1e-9 for (_, end), (begin, _) in pairwise(spans))
    with open_run(tmp_path / "run") as tree:
        stages = tree["timeline"]["event_track"].size
    assert sum(event["ph"] == "X" for event in events) == stages


def test_a_run_without_a_timeline_says_how_to_get_one(tmp_path):
    overrides = ("stream.examples=6", "stream.tasks=1", "evaluation.examples=2", "record.state=false")
    run_scenario(load_scenario(ROOT / "scenarios" / "quickstart.toml", overrides), tmp_path / "run", progress=False)
    from bimu_hw.errors import RunError

    done = CliRunner().invoke(commands, ["trace", str(tmp_path / "run"), "-o", str(tmp_path / "trace.json")])
    assert isinstance(done.exception, RunError)
    assert "record.timeline" in str(done.exception)
    assert not (tmp_path / "trace.json").exists()
