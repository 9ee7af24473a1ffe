"""Accelerators that cannot be are refused before the run, with the number that is wrong; arrivals come from a file."""

from __future__ import annotations

import numpy as np
import pytest
from house import ROOT

from bimu_hw import load_scenario
from bimu_hw.accelerator.trace import read_trace
from bimu_hw.errors import ScenarioError
from bimu_hw.run import Run

QUICKSTART = ROOT / "scenarios" / "quickstart.toml"
LATE = ("labels.latency=1 ms",)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("architecture.adcs_per_tile=65", "crossbar.columns_per_adc="), ("adcs_per_tile", "65", "64 bit lines")),
        (("architecture.write_drivers=0",), ("write_drivers", "0")),
        (("architecture.adcs_per_tile=8",), ("columns_per_adc", "no effect")),
        (("architecture.samplers_per_tile=5000",), ("samplers_per_tile", "5000", "4096 cells")),
        (("architecture.interconnect=bus", "architecture.tile_groups=3"), ("tile_groups", "3 groups for 2 layers")),
        (("architecture.tile_groups=2",), ("tile_groups", "no effect", "no bus")),
        (("architecture.in_flight=2",), ("in_flight", "no effect")),
        (("architecture.pipeline=queries",), ("in_flight", "missing")),
        (("accelerator.queue=0",), ("queue", "0", "unbounded")),
        (("labels.annotators=1",), ("annotators", "no effect")),
        ((*LATE, "labels.deadline=0 s"), ("deadline", "0 s")),
        ((*LATE, "labels.distribution=lognormal"), ("latency_sigma", "missing")),
        (("accelerator.refresh_interval=0 s",), ("refresh_interval", "0 s")),
        (("accelerator.arrivals=trace", "accelerator.rate="), ("trace", "missing")),
    ],
)  # fmt: skip
def test_what_the_keys_alone_show_is_refused_when_the_scenario_is_read(overrides, words):
    with pytest.raises(ScenarioError) as error:
        load_scenario(QUICKSTART, overrides)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("accelerator.queue=unbounded", "accelerator.rate=1 MHz"), ("accelerator.rate", "1e+06 Hz", "below")),
        (
            ("labels.policy=always", "labels.budget=", "labels.gamma=", "labels.latency=10 ms", "labels.annotators=20"),
            ("labels.annotators", "20", "more than 20"),
        ),
        (("accelerator.refresh_interval=1 us",), ("refresh_interval", "one refresh takes")),
    ],
)  # fmt: skip
def test_what_could_never_keep_up_is_refused_before_the_run(overrides, words):
    scenario = load_scenario(QUICKSTART, overrides)
    with pytest.raises(ScenarioError) as error:
        Run(scenario)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_arrivals_from_a_file_are_exact_and_their_content_is_what_counts(tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text("arrival_s\n0.1\n0.100000000001, noise\n\n3\n")
    np.testing.assert_array_equal(read_trace(path), [10**11, 10**11 + 1, 3 * 10**12])
    overrides = ("accelerator.arrivals=trace", "accelerator.rate=", f"accelerator.trace={path}", "stream.examples=4")
    scenario = load_scenario(QUICKSTART, overrides)
    with pytest.raises(ScenarioError, match="3 arrivals for 4 examples"):
        Run(scenario)
    moved = tmp_path / "moved.csv"
    moved.write_text("0.1\n0.100000000001\n3.0\n")
    again = load_scenario(QUICKSTART, (*overrides, f"accelerator.trace={moved}"))
    assert again.hash == scenario.hash
    moved.write_text("0.1\n0.100000000002\n3.0\n")
    assert load_scenario(QUICKSTART, (*overrides, f"accelerator.trace={moved}")).hash != scenario.hash


@pytest.mark.parametrize(("text", "words"), [("1\nx\n", "line 2: got 'x'"), ("2\n1\n", "sort"), ("", "no arrival")])
def test_a_file_that_holds_no_arrivals_says_where(tmp_path, text, words):
    path = tmp_path / "arrivals.csv"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=words):
        read_trace(path)
