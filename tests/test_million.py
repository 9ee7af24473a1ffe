"""A million queries in bounded memory; minutes to an hour, so it is a validation."""

from __future__ import annotations

import resource

import pytest
from house import ROOT

from bimu_hw import load_scenario, open_run, run_scenario

N = 1_000_000
SMALL = (
    f"stream.examples={N}", "stream.tasks=1", "stream.epochs=1000", "network.hidden=[]",
    "network.samples=1", "crossbar.gradient_bits=", "labels.policy=never", "labels.budget=", "labels.gamma=",
    "labels.latency=", "evaluation.examples=10", "record.state=false", "accelerator.rate=200 kHz",
    "accelerator.queue=64", "device.storage=ideal_storage", "device.sampler=ideal_sampler", "device.residue_bits=",
    "device.programming=deterministic", "device.lam_max=", "crossbar.inputs=analog", "crossbar.adc_bits=0",
    "crossbar.adc_range=",
)  # fmt: skip


@pytest.mark.validation
def test_a_million_queries_fit_into_bounded_memory(tmp_path):
    """Memory grows by rows of the record, of which there are at most `record.per_query_limit`, and not by queries."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run_scenario(load_scenario(ROOT / "scenarios" / "quickstart.toml", SMALL), tmp_path / "run")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert result.summary["queries"] + result.summary["queries_dropped"] == N
    with open_run(tmp_path / "run") as tree:
        assert tree["queries"]["finish_tick"].size <= 100_000
        assert int(tree["queries"]["n_aggregated"].sum()) == result.summary["queries"]
    # In kibibytes: some 100,000 rows of 60 numbers, twice while they are written.
    assert after - before < 400_000
