"""A job in service, and what a checkpoint keeps of the part of it that has not begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bimu_hw.accelerator.plan import Piece, WorkPlan
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.crossbar.chip import Encoded
from bimu_hw.ledger import Tally


@dataclass(slots=True)
class Job:
    """A job in service: what it is, when it began, whom it is for, and what is left of it."""

    kind: str
    begun: int
    row: QueryRow | None = None
    encoded: Encoded | None = None
    rest: Sequence[Piece] = ()
    spent: Tally | None = None
    pieces: Sequence[Piece] = ()

    def rest_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of an update that follows: its pulses, and what it spends."""
        if self.kind != "given" or self.spent is None:
            return {}
        pulses = [[stage.layer, stage.ticks] for stage in self.rest[0].more]
        return {"pulses": pulses, "counts": self.spent.counts.tolist(), "array_joules": self.spent.array_joules}

    def restore_rest(self, state: dict[str, Any], plan: WorkPlan) -> None:
        """Take over what `rest_state` returned."""
        if state:
            self.rest = (plan.update_piece([plan.write_stage(*stage) for stage in state["pulses"]]),)
            self.spent = Tally(np.array(state["counts"], np.int64), state["array_joules"])
