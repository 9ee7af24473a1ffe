"""An accelerator that accounts for stretches at once against the same one that goes from stage to stage."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.stages import PlainChain, PlainStages
from test_accelerator import assemble
from test_resume import account, random_options


@pytest.mark.parametrize("seed", range(24))
def test_in_one_go_equals_event_by_event(seed):
    """Random small scenarios of all kinds: every record is the same, to the tick and to the bit."""
    options = random_options(np.random.default_rng([29, seed]))
    if options["arrivals"].kind == "back_to_back" and options["priority"] == "inference_first":
        options["priority"] = "fifo"
    architecture = options["architecture"]
    whole, seen = assemble(60, **options)
    whole.run()
    plain = PlainStages(architecture.capacities(2)) if architecture.pipeline == "queries" else PlainChain()
    if architecture.pipeline == "samples":
        # One job at a time, whose samples share the chip: a job in flight and no other.
        plain = Alone(architecture.capacities(2))
    stepwise, other = assemble(60, machine=plain, **options)
    turns = []
    real = stepwise.machine.done
    stepwise.machine.done = lambda now: turns.append(now) or real(now)
    stepwise.run()
    assert account(stepwise, other) == account(whole, seen)
    assert len(turns) > 3 * len(seen.rows)


class Alone(PlainStages):
    """A chip for one job."""

    def submit(self, slot, segments, ticks, priority, now):
        assert not self.jobs
        super().submit(slot, segments, ticks, priority, now)
