"""What a job computes, what it books, and the work it makes; when it happens is not decided here.

The one call that changes lam is in `Jobs.learn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.accelerator.plan import Piece, WorkPlan
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.accelerator.spec import AcceleratorSpec, Usage
from bimu_hw.accelerator.stage import Block
from bimu_hw.crossbar.chip import Chip, Encoded, LearningRule
from bimu_hw.crossbar.readout import Reads
from bimu_hw.errors import ScheduleError
from bimu_hw.kernels.network import query_uncertainty
from bimu_hw.learning.policies import Evidence
from bimu_hw.ledger import Entry, Ledger, Tally
from bimu_hw.operations import CHIP, layer_counts, operation_index, phase_index

_TICKS_PER_NANOSECOND = 1000
_TICKS_PER_MICROSECOND = 10**6
_MOST = 2**63 - 1
_INFERENCE, _LABEL, _BACKWARD, _PROGRAMMING, _IDLE = map(
    phase_index, ("inference", "label", "backward", "programming", "idle")
)


class Jobs:
    """The work of a chip, and the account of it.

    Parameters
    ----------
    chip : Chip
    plan : WorkPlan
    rule : LearningRule
    spec : AcceleratorSpec

    Attributes
    ----------
    ledger : Ledger
    usage : dict of str to Usage
        By resource.
    event_count : int
        Stages that were begun.
    learned : int
        Updates of which something was asked.
    """

    def __init__(self, chip: Chip, plan: WorkPlan, rule: LearningRule, spec: AcceleratorSpec) -> None:
        self.chip, self.plan, self.rule, self.spec = chip, plan, rule, spec
        self.ledger = Ledger.empty(len(chip.layers))
        self.usage = {name: Usage(capacity=plan.capacity(name)) for name in plan.resources}
        self.event_count = self.learned = 0
        self._biased_ticks = [0] * len(chip.layers)
        self._bias = {block: self._bias_of(block) for block in (plan.inference_block, plan.update_block)}
        self._request = self._single("radio", "request")
        self._kept = {access: self._single("buffer", access, plan.kept_bits()) for access in ("read", "write")}
        self._wake = self._single("power", "wake")

    def state(self) -> dict[str, Any]:
        """Return the account and what the chip and the rule have become, for a checkpoint."""
        return {
            "event_count": self.event_count, "learned": self.learned,
            "usage": {name: [usage.events, usage.busy_ticks] for name, usage in self.usage.items()},
            "counts": self.ledger.counts, "array_joules": self.ledger.array_joules, "biased_ticks": self._biased_ticks,
            "rule": self.rule.state(), "chip": self.chip.state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.event_count, self.learned = state["event_count"], state["learned"]
        for name, (events, busy) in state["usage"].items():
            self.usage[name].events, self.usage[name].busy_ticks = events, busy
        self.ledger.counts[...] = state["counts"]
        self.ledger.array_joules[...] = state["array_joules"]
        self._biased_ticks = list(state["biased_ticks"])
        self.rule.restore(state["rule"])
        self.chip.restore(state["chip"])

    def infer(self, row: QueryRow, encoded: Encoded) -> tuple[Evidence, Piece]:
        """Compute a query and return how sure it is, and the work."""
        self.chip.infer(encoded, row.example, to_seconds(row.start_tick))
        evidence = self.predict(row)
        self._book_forward(_INFERENCE, row)
        return evidence, self.plan.inference_piece

    def predict(self, row: QueryRow) -> Evidence:
        """Note what the last forward pass predicts, and how sure it is."""
        aleatoric, epistemic, predictive, disagreement, row.prediction = query_uncertainty(self.chip.logits)
        row.aleatoric, row.epistemic, row.predictive, row.disagreement = aleatoric, epistemic, predictive, disagreement
        return Evidence(epistemic, aleatoric, predictive, disagreement, self.chip.n_sample)

    def learn(self, row: QueryRow, encoded: Encoded, tick: int, held: bool) -> tuple[Piece, ...]:
        """Learn from one label, the only place where lam changes, and return the work that takes, forward pass first.

        There is no forward pass if the cells still hold the samples of the query.
        """
        result = self.chip.learn(
            encoded, row.answer, row.example, to_seconds(tick), self.rule, self.spec.gradient, held=held
        )
        plan = self.plan
        forward = plan.reforward or not held
        if forward:
            self._book_forward(_BACKWARD, row)
        for phase, entry in plan.update:
            self.ledger.book(phase, entry, row.spent)
        self._book_bias(_BACKWARD, row, plan.update_block)
        if self.spec.gradient == "hard":
            self._book_reads(_BACKWARD, row, self.chip.backward_reads())
        entry, stages = plan.programming(result.programming)
        self.ledger.book(_PROGRAMMING, entry, row.spent)
        row.updated = result.changed
        row.pulses = sum(p.pulses_up + p.pulses_down for p in result.programming)
        self.learned += result.changed
        rest = plan.update_piece(stages)
        return (plan.inference_piece, rest) if forward else (rest,)

    def book_request(self, row: QueryRow, late: bool) -> None:
        """Book a request, and the buffer that keeps an input until a late label comes."""
        self.ledger.book(_LABEL, self._request, row.spent)
        if late:
            self.ledger.book(_LABEL, self._kept["write"], row.spent)

    def book_kept(self, row: QueryRow) -> None:
        """Book reading a kept input back."""
        self.ledger.book(_LABEL, self._kept["read"], row.spent)

    def refresh(self) -> Piece:
        """Book a refresh of the store and return the work."""
        entry, piece = self.plan.refresh
        self.ledger.book(_IDLE, entry, Tally())
        return piece

    def begin(self, pieces: Sequence[Piece]) -> int:
        """Count the stages of some work that begins, and return how long it takes without a break."""
        total = 0
        for piece in pieces:
            for block in piece.blocks:
                total += block.ticks
                self.event_count += block.n_stages
                self.usage["controller"].events += 1
                for resource, events, ticks in block.use:
                    usage = self.usage[resource]
                    usage.events += events
                    usage.busy_ticks += ticks
        return total

    def finish(self, ticks: int, asleep: int, wakes: int) -> None:
        """Charge what was powered all along, and sampling elements for the time their arrays rested.

        Parameters
        ----------
        ticks : int
            Duration of the run.
        asleep : int
            Ticks of it in which the chip was switched off.
        wakes : int
            How often it was woken.
        """
        awake = ticks - asleep
        rest = ("leakage", "sampler") if self.spec.power_gating else ("sampler", "idle_bias")
        totals = [(CHIP, ("leakage", "periphery"), awake)]
        for k, (synapses, biased) in enumerate(zip(self.chip.layers, self._biased_ticks, strict=True)):
            cells, stays = synapses.lam.size, ticks if synapses.storage.volatile else awake
            totals += [(k, ("leakage", "storage"), cells * stays)]
            totals += [(k, rest, self.plan.samplers(k) * awake - biased)]
        for layer, operation, total in totals:
            count = total // _TICKS_PER_MICROSECOND
            if count > _MOST:
                raise ScheduleError(
                    f"accelerator: {to_seconds(ticks):g} s of simulated time are too long for "
                    f"{self.chip.layers[layer].lam.size} cells; raise accelerator.rate."
                )
            self.ledger.counts[_IDLE, layer, operation_index(*operation)] += count
        self.ledger.book(_IDLE, Entry.of(self._wake.counts * wakes), Tally())

    def _book_forward(self, phase: int, row: QueryRow) -> None:
        self.ledger.book(phase, self.plan.inference, row.spent)
        self._book_reads(phase, row, self.chip.forward_reads())
        self._book_bias(phase, row, self.plan.inference_block)

    def _book_bias(self, phase: int, row: QueryRow, block: Block) -> None:
        """Book the bias of sampling elements while their arrays are looked at."""
        for layer, ticks in block.biased_ticks:
            self._biased_ticks[layer] += ticks
        self.ledger.book(phase, self._bias[block], row.spent)

    def _book_reads(self, phase: int, row: QueryRow, reads: Reads) -> None:
        """Book what a pass through the arrays drove."""
        self.ledger.book_reads(phase, reads.drives, self.plan.read_joules(reads), row.spent)

    def _single(self, component: str, name: str, count: int = 1) -> Entry:
        return Entry.single(len(self.chip.layers), component, name, count)

    def _bias_of(self, block: Block) -> Entry:
        counts = layer_counts(len(self.chip.layers))
        for layer, ticks in block.biased_ticks:
            counts[layer, operation_index("sampler", "bias")] = ticks // _TICKS_PER_NANOSECOND
        return Entry.of(counts)
