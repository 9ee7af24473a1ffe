"""Who did what when, stage by stage, at the beginning of a run: a bounded number of rows. Recording changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bimu_hw.accelerator.machine import Passed, Segment, span
from bimu_hw.accelerator.plan import Piece, WorkPlan
from bimu_hw.accelerator.stage import Stage

#: What a row is about, as a record says it by number.
JOBS = ("query", "given", "update", "refresh", "label", "sojourn")

_COLUMNS = ("event_track", "job", "example", "start_tick", "ticks")


class Timeline:
    """Rows of a timeline.

    Parameters
    ----------
    plan : WorkPlan
    n_layers, limit : int
        Most rows.

    Attributes
    ----------
    tracks : tuple of str
        Who a row can be about.
    """

    def __init__(self, plan: WorkPlan, n_layers: int, limit: int) -> None:
        self._plan, self._n_layers = plan, n_layers
        groups = plan.architecture.tile_groups
        self.tracks = (
            "queries", "annotators", "digital units", *(f"bus {g}" for g in range(groups)),
            *(f"{what} of layer {k}" for what in ("arrays", "converters", "write drivers") for k in range(n_layers)),
        )  # fmt: skip
        self._rows = np.zeros((limit, len(_COLUMNS)), np.int64)
        self._n = 0

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return self._n == len(self._rows)

    def add(self, track: str, job: str, example: int, start: int, ticks: int) -> None:
        """Add a row if there is room."""
        if not self.full:
            self._rows[self._n] = self.tracks.index(track), JOBS.index(job), example, start, ticks
            self._n += 1

    def lay_out(self, pieces: Sequence[Piece], job: str, example: int, start: int) -> None:
        """Add the stages of a job that has the chip to itself."""
        for piece in pieces:
            if self.full:
                return
            stages = [*piece.stages, *piece.more]
            if self._plan.architecture.pipeline != "none" and piece.segment.chains > 1:
                _, passed = span([piece.segment], self._plan.architecture.capacities(self._n_layers))
                for one in sorted(passed, key=lambda one: one.start):
                    self._stage(stages[one.stage], job, example, start + one.start)
            else:
                tick = start
                for stage in stages * piece.segment.chains:
                    self._stage(stage, job, example, tick)
                    tick += stage.ticks
            start += sum(block.ticks for block in piece.blocks)

    def note(self, passed: Passed, pieces: Sequence[Piece], job: str, example: int) -> None:
        """Add a stage of a job in flight."""
        piece = pieces[passed.segment]
        n = len(piece.stages)
        stage = piece.stages[passed.stage] if passed.stage < n else piece.more[passed.stage - n]
        self._stage(stage, job, example, passed.start)

    def pieces_of(self, job: str, segments: Sequence[Segment]) -> tuple[Piece, ...]:
        """Return the work of a job that is in flight, as far as stages are concerned."""
        plan = self._plan
        if job != "update":
            return (plan.inference_piece if job == "query" else plan.refresh[1],)
        n, last = len(plan.update_stages), segments[-1]
        pulses = zip(last.units[n:].tolist(), last.ticks[n:].tolist(), strict=True)
        more = [Stage("write_drivers", ticks, layer=layer) for layer, ticks in pulses]
        update = Piece((), last, plan.update_stages, more)
        return (plan.inference_piece, update) if len(segments) > 1 else (update,)

    def _stage(self, stage: Stage, job: str, example: int, start: int) -> None:
        groups = self._plan.architecture.tile_groups
        names = {
            "digital": "digital units", "write_drivers": f"write drivers of layer {stage.layer}",
            "interconnect": f"bus {stage.layer % groups if groups else 0}",
        }  # fmt: skip
        self.add(names.get(stage.resource, f"arrays of layer {stage.layer}"), job, example, start, stage.ticks)
        for offset, ticks in stage.converting:
            self.add(f"converters of layer {stage.layer}", job, example, start + offset, ticks)

    def columns(self) -> dict[str, Any]:
        """Return the rows so far as the variables of a record's ``/timeline``."""
        return {"track": list(self.tracks), **dict(zip(_COLUMNS, self._rows[: self._n].T.copy(), strict=True))}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"rows": self._rows[: self._n]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._n = len(state["rows"])
        self._rows[: self._n] = state["rows"]
